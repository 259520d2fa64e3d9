"""The libraries that packages bring: Linux wheels for the host's Python, fetched by pip, held to
their hashes, slimmed, and still able to answer.

Most tests let pip fetch from a folder of small wheels made here; the last fetch the pinned ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from PIL import Image

from examples.models import examples, ready
from onnxferry import scoring
from onnxferry.scoring.images import FORMATS
from onnxferry.scripts.package import layout_of, lock, package, pins, slim, wheels
from onnxferry.scripts.package.__main__ import content
from onnxferry.scripts.package.bytecode import compiler
from onnxferry.scripts.package.functions import SITE_PACKAGES
from onnxferry.scripts.package.layout import PackageLayout
from onnxferry.scripts.package.parts import parts
from onnxferry.scripts.package.slim import slimmed
from onnxferry.scripts.request_file import MEDIA_TYPES
from onnxferry.system.errors import PackageError, UsageError
from onnxferry.system.pythons import find_python
from onnxferry.targets import TARGETS
from tests.packages import build, make_index, make_wheel, quiet, write_hashes

FUNCTIONS = layout_of("functions")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
# each package that brings libraries, and where they are in it
BRINGING = {
    "sagemaker": (layout_of("sagemaker"), "code/"),
    "functions": (FUNCTIONS, SITE_PACKAGES),
    "azureml, prebuilt": (layout_of("azureml", "prebuilt"), "code/"),
}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return make_index(tmp_path / "index")


@pytest.mark.parametrize(("layout", "site"), BRINGING.values(), ids=BRINGING)
def test_a_package_has_slimmed_linux_wheels_unpacked(
    index: Path, layout: PackageLayout, site: str
) -> None:
    built = build(index, layout)

    # where there is a Python for it, Functions' modules are compiled
    names = {re.sub(r"\.pyc$", ".py", member.path) for member in built.members}
    assert {name for name in names if name.startswith(f"{site}numpy")} == {
        f"{site}numpy/__init__.py",
        f"{site}numpy-{pins.version('numpy', '3.12')}.dist-info/METADATA",
        f"{site}numpy-{pins.version('numpy', '3.12')}.dist-info/licenses/LICENSE",
    }
    assert {f"{site}onnxruntime/capi/state.so", f"{site}tokenizers/__init__.py"} <= names
    assert f"{site.removesuffix(SITE_PACKAGES)}onnxferry/scoring/scorer.py" in names
    assert not [name for name in names if "libonnxruntime.so" in name or "/tools/" in name]
    listed = {n for n in names if n.rpartition("/")[2] in ("requirements.txt", "env.yml")}
    # batch jobs have an environment of their own; Azure Functions builds nothing of it where a
    # package brings its libraries
    assert listed <= ({"requirements.txt"} if layout.target == "functions" else set())
    parts = {*content(built).columns[0].cells}
    assert {"model", "code", "numpy", "onnxruntime", "tokenizers", "total"} <= parts


def test_azureml_builds_nothing_on_the_prebuilt_image(index: Path) -> None:
    ml = pytest.importorskip("azure.ai.ml")
    folder = build(index, layout_of("azureml", "prebuilt")).path

    declared = yaml.safe_load((folder / "deployment.yml").read_text())["environment"]
    assert declared == {"image": "mcr.microsoft.com/azureml/minimal-py312-inference:latest"}
    assert ml.load_online_deployment(folder / "deployment.yml").environment.conda_file is None


def test_an_image_that_a_target_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="azureml has no image 'newest'; known: prebuilt"):
        layout_of("azureml", "newest")
    with pytest.raises(UsageError, match="functions has no image 'prebuilt'; it has only the one"):
        layout_of("functions", "prebuilt")


def test_the_zip_has_the_app_at_its_root(index: Path) -> None:
    with zipfile.ZipFile(build(index, FUNCTIONS).path) as archive:
        names = set(archive.namelist())
        modes = {stat.filemode(info.external_attr >> 16) for info in archive.infolist()}

    assert {"host.json", "function_app.py", "model/model.onnx", "model/tokenizer.json"} <= names
    assert modes == {"-rw-r--r--"}


@pytest.mark.parametrize("target", ["sagemaker", "functions"])
def test_it_is_the_same_bytes_from_a_fresh_cache_and_a_used_one(index: Path, target: str) -> None:
    layout = layout_of(target)
    first, second = build(index, layout, "one"), build(index, layout, "two")
    third = build(index, layout, "three", cache="another cache")

    assert first.sha256 == second.sha256 == third.sha256


def test_wheels_that_were_fetched_once_are_not_asked_for_again(index: Path) -> None:
    first = build(index, FUNCTIONS, "one")
    shutil.rmtree(index)

    assert build(index, FUNCTIONS, "two").sha256 == first.sha256


def test_a_wheel_that_cannot_be_had_is_told_in_pips_words_and_nothing_is_left(
    index: Path, tmp_path: Path
) -> None:
    write_hashes(index)
    next(index.glob("markupsafe*")).unlink()

    said = (
        r"(?s)Linux wheels for Python 3\.12 of .*markupsafe==[\d.]+; pip.*No matching dist.*pip's"
    )
    with pytest.raises(PackageError, match=said):
        build(index, FUNCTIONS)

    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache").exists()


def test_a_wheel_that_is_not_the_one_that_was_rehearsed_is_refused(
    index: Path, tmp_path: Path
) -> None:
    """Of the same name and version, with other content."""
    write_hashes(index)
    make_wheel(index, "tokenizers", "cp39-abi3-manylinux2014_x86_64", ["tokenizers/evil.py"])
    next(index.glob("tokenizers*2_17*")).unlink()

    with pytest.raises(PackageError, match=r"(?s)DO NOT MATCH THE HASHES.*tokenizers.*hashes\.txt"):
        build(index, FUNCTIONS)

    assert not (tmp_path / "cache").exists()


def test_a_library_without_a_hash_is_refused(index: Path) -> None:
    hashes = write_hashes(index)
    hashes.write_text(hashes.read_text().replace("numpy==", "numpy=="[::-1]))

    with pytest.raises(PackageError, match=r"no hash of numpy==[\d.]+; .*scripts\.package\.lock"):
        build(index, FUNCTIONS)


def test_the_hashes_are_those_of_the_pins() -> None:
    pythons = {python for target in TARGETS for python in layout_of(target).pythons}
    wanted = {pin for python in pythons for pin in pins.select(lock.BROUGHT, python)}

    lines = [line for line in pins.HASHES.read_text().splitlines() if not line.startswith("#")]
    assert pythons == {*lock.PYTHONS}
    assert {line.partition(" ")[0] for line in lines} == wanted


def test_a_wheel_for_another_python_is_not_taken(index: Path) -> None:
    write_hashes(index)
    with pytest.raises(PackageError, match=r"Linux wheels for Python 3\.11"):
        build(index, FUNCTIONS, python="3.11")


def test_a_wheel_that_installs_elsewhere_is_refused(index: Path, tmp_path: Path) -> None:
    files = ["werkzeug/__init__.py", "werkzeug-3.data/scripts/serve"]
    make_wheel(index, "werkzeug", "py3-none-any", files)

    with pytest.raises(PackageError, match="would be installed elsewhere than site-packages"):
        build(index, FUNCTIONS)

    cached = tmp_path / "cache" / "wheels"
    assert cached.is_dir()
    assert not list(cached.glob("werkzeug*"))


ANSWER = """
import json, sys
root = sys.argv[1]
sys.path[:0] = [root, root + "/.python_packages/lib/site-packages"]
import function_app
from onnxferry import scoring
scorer = scoring.load(root + "/model")
for file, media_type in json.loads(sys.argv[2]):
    response = scorer.handle(scoring.Request(open(file, "rb").read(), media_type))
    print("answer", response.status, response.body.decode())
origins = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
strangers = [
    name for name, file in origins.items()
    if "-packages" in file and not file.startswith(root)
]
assert not strangers, strangers
cached = {getattr(module, "__cached__", None) for module in sys.modules.values()} - {None}
uncompiled = [file for file in cached if file.startswith(root) and not file.endswith(".pyc")]
assert not uncompiled, uncompiled
"""
MADE = {example.name: example for example in examples()}
BUDGETS = {"efficientnet-lite0": 45_000_000, "minilm-emotions-int8": 60_000_000}


def pictures(folder: Path) -> list[tuple[str, str]]:
    """A red picture in each format that a host is asked to read."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[..., 0] = 200
    for kind in FORMATS:
        Image.fromarray(pixels).save(folder / f"red.{kind.lower()}", kind)
    return [(str(folder / f"red.{kind.lower()}"), f"image/{kind.lower()}") for kind in FORMATS]


@pytest.mark.host  # downloads the pinned wheels on first use
@pytest.mark.models
@pytest.mark.parametrize("name", BUDGETS)
def test_the_demos_zip_is_within_its_budget_and_answers_with_nothing_but_its_own_content(
    tmp_path: Path, name: str
) -> None:
    example = MADE[name]
    requests = [(str(example.request), MEDIA_TYPES[example.request.suffix])]
    requests += pictures(tmp_path) if example.options.task == "image-classification" else []
    python = FUNCTIONS.pythons[0] if compiler(FUNCTIONS.pythons[0]) else HERE
    built = package(ready(example), FUNCTIONS, out=tmp_path, python=python, report=quiet)
    root = tmp_path / "wwwroot"
    with zipfile.ZipFile(built.path) as archive:
        archive.extractall(root)

    done = alone(python, "-c", ANSWER, str(root), json.dumps(requests))

    assert done.returncode == 0, done.stderr
    answers = re.findall(r"^answer (\d+) .*label", done.stdout, re.MULTILINE)
    assert answers == ["200"] * len(requests)
    assert built.size <= BUDGETS[name]
    assert sum(part.packed or 0 for part in parts(built)) == pytest.approx(built.size, abs=100)


def alone(python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What an interpreter of a version says without what is installed."""
    command = [str(find_python(python)), "-I", "-S", "-B", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


NUMPY = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy
from numpy import *  # as scipy does, where an image has it
assert numpy.__file__.startswith(sys.argv[1])
noise = numpy.random.default_rng(1).normal(size=8)
masked = numpy.ma.masked_invalid(numpy.fft.ifft(numpy.fft.fft(noise)).real)
assert numpy.linalg.norm(masked - noise) < 1e-12
assert numpy.polynomial.Polynomial([1, 2])(3) == 7
import numpy.matlib, numpy.ctypeslib, numpy.typing
"""


@pytest.mark.host  # downloads the pinned wheels on first use
def test_numpys_public_modules_are_there_for_images_libraries_and_custom_tasks() -> None:
    requirement = pins.hashed(pins.select(["numpy"], HERE))
    (folder,) = wheels.fetch(requirement, HERE, os.environ)
    by = compiler(HERE)
    assert by
    for found in (folder, slimmed(folder, slim.dropped("file:task.py"), by)):
        done = alone(HERE, "-c", NUMPY, str(found))
        assert done.returncode == 0, done.stderr


METADATA = """Metadata-Version: 2.1
Name: numpy
License: BSD, naïvely
        All rights reserved.
        {nothing}
        Redistribution is permitted.
Classifier: Free

# NumPy
"""


def test_a_licence_is_there_once(tmp_path: Path) -> None:
    about = tmp_path / "numpy" / "numpy-2.dist-info"
    about.mkdir(parents=True)
    (about / "LICENSE.txt").write_text("All rights reserved.")
    (about / "METADATA").write_text(METADATA.format(nothing=""))

    made = slimmed(tmp_path / "numpy", re.compile("^tests/"), None) / about.name

    assert (made / "LICENSE.txt").read_text() == "All rights reserved."
    kept = ["Metadata-Version: 2.1", "Name: numpy", "License: BSD, naïvely", "Classifier: Free"]
    assert (made / "METADATA").read_text().splitlines() == kept


def test_a_built_in_task_gets_no_parts_of_numpy_that_it_never_imports() -> None:
    parts = ("random/__init__.py", "fft/_pocketfft.py", "polynomial/polynomial.py")
    for task, expected in (("fill-mask", True), ("file:task.py", False)):
        found = [bool(slim.dropped(task).search(f"numpy/{part}")) for part in parts]
        assert found == [expected] * len(parts)
    assert not [part for part in parts if re.search(part.partition("/")[0], scoring_code())]


def scoring_code() -> str:
    """What the modules of the core import of numpy, and say of it."""
    files = Path(scoring.__file__).parent.rglob("*.py")
    return "\n".join(re.findall(r"np\.[\w.]+|numpy[\w.]*", "".join(map(Path.read_text, files))))
