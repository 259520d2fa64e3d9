"""The function zip: Linux wheels for the app's Python, fetched by pip, slimmed, and still able to
answer.

Most tests let pip fetch from a folder of small wheels made here; the last fetches the pinned ones.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxferry.scripts.package import Package, functions, package, pins
from onnxferry.system.errors import PackageError
from tests import tiny

SITE = ".python_packages/lib/site-packages/"
LINUX = "manylinux_2_17_x86_64.manylinux2014_x86_64"
WHEELS = {  # distribution -> the wheel's tag for Python 3.12, and its files
    "numpy": (
        f"cp312-cp312-{LINUX}",
        ["numpy/__init__.py", "numpy/tests/test_x.py", "numpy/f2py/x.py", "numpy/x.pyi"],
    ),
    "onnxruntime": (
        "cp312-cp312-manylinux_2_28_x86_64",
        [
            "onnxruntime/capi/state.so",
            "onnxruntime/capi/libonnxruntime.so.1",
            "onnxruntime/tools/x.py",
        ],
    ),
    "tokenizers": (f"cp39-abi3-{LINUX}", ["tokenizers/__init__.py"]),
    "azure-functions": ("py3-none-any", ["azure/functions/__init__.py"]),
    "werkzeug": ("py3-none-any", ["werkzeug/__init__.py"]),
    "markupsafe": (f"cp312-cp312-{LINUX}", ["markupsafe/__init__.py"]),
}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder of wheels that is all that pip finds."""
    folder = tmp_path / "index"
    folder.mkdir()
    for distribution, (tag, files) in WHEELS.items():
        make_wheel(folder, distribution, tag, files)
    return folder


def make_wheel(folder: Path, name: str, tag: str, files: list[str]) -> None:
    version, escaped = pins.version(name, "3.12"), name.replace("-", "_")
    about = f"{escaped}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{escaped}-{version}-{tag}.whl", "w") as wheel:
        for file in files:
            wheel.writestr(file, f"# {file}")
        wheel.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        wheel.writestr(f"{about}/licenses/LICENSE", "free")
        wheel.writestr(f"{about}/RECORD", "")


def build(index: Path, out: str = "out", cache: str = "cache", python: str = "3.12") -> Package:
    """A tiny model's package, of the wheels in `index`; it and the cache lie beside `index`."""
    here = index.parent
    environ = {
        **os.environ,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "ONNXFERRY_CACHE": str(here / cache),
    }
    layout = replace(functions.LAYOUT, added=partial(functions.added, environ=environ))
    model = tiny.question_answering(here / "model")
    return package(model, layout, out=here / out, python=python, report=quiet)


def quiet(title: str) -> nullcontext[None]:
    return nullcontext()


def test_the_zip_has_the_app_the_model_and_slimmed_linux_wheels(index: Path) -> None:
    built = build(index)

    with zipfile.ZipFile(built.path) as archive:
        names = set(archive.namelist())
        modes = {stat.filemode(info.external_attr >> 16) for info in archive.infolist()}
    assert {
        "host.json",
        "function_app.py",
        "onnxferry/scoring/scorer.py",
        "model/model.onnx",
        "model/tokenizer.json",
    } <= names
    assert {name for name in names if name.startswith(f"{SITE}numpy")} == {
        f"{SITE}numpy/__init__.py",
        f"{SITE}numpy-{pins.version('numpy', '3.12')}.dist-info/METADATA",
        f"{SITE}numpy-{pins.version('numpy', '3.12')}.dist-info/licenses/LICENSE",
    }
    assert f"{SITE}onnxruntime/capi/state.so" in names
    assert not [name for name in names if "libonnxruntime.so" in name or "/tools/" in name]
    assert modes == {"-rw-r--r--"}


def test_the_zip_is_the_same_bytes_from_a_fresh_cache_and_a_used_one(index: Path) -> None:
    first, second = build(index, "one"), build(index, "two")
    third = build(index, "three", cache="another cache")

    assert first.sha256 == second.sha256 == third.sha256


def test_wheels_that_were_fetched_once_are_not_asked_for_again(index: Path) -> None:
    first = build(index, "one")
    shutil.rmtree(index)

    assert build(index, "two").sha256 == first.sha256


def test_a_wheel_that_cannot_be_had_is_told_in_pips_words_and_nothing_is_left(
    index: Path, tmp_path: Path
) -> None:
    next(index.glob("markupsafe*")).unlink()

    with pytest.raises(
        PackageError,
        match=r"(?s)Linux wheels for Python 3\.12 of .*markupsafe==.*No matching dist.*pip's",
    ):
        build(index)

    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache").exists()


def test_a_wheel_for_another_python_is_not_taken(index: Path) -> None:
    with pytest.raises(PackageError, match=r"Linux wheels for Python 3\.11"):
        build(index, python="3.11")


def test_a_wheel_that_installs_elsewhere_is_refused(index: Path, tmp_path: Path) -> None:
    files = ["werkzeug/__init__.py", "werkzeug-3.data/scripts/serve"]
    make_wheel(index, "werkzeug", "py3-none-any", files)

    with pytest.raises(PackageError, match="would be installed elsewhere than site-packages"):
        build(index)

    wheels = tmp_path / "cache" / "wheels"
    assert wheels.is_dir()
    assert not list(wheels.glob("werkzeug*"))


ANSWER = """
import json, sys
root = sys.argv[1]
sys.path[:0] = [root, root + "/.python_packages/lib/site-packages"]
import function_app
from onnxferry import scoring
scorer = scoring.load(root + "/model")
for file, media_type in json.loads(sys.argv[2]):
    response = scorer.handle(scoring.Request(open(file, "rb").read(), media_type))
    print(response.status, response.body.decode())
origins = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
strangers = [
    name for name, file in origins.items()
    if "-packages" in file and not file.startswith(root)
]
assert not strangers, strangers
"""


def questions(folder: Path) -> list[tuple[str, str]]:
    (folder / "question.json").write_text(json.dumps(tiny.QUESTION))
    return [(str(folder / "question.json"), "application/json")]


def pictures(folder: Path) -> list[tuple[str, str]]:
    """A red picture in each format that a host is asked to read."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[..., 0] = 200
    for kind in ("jpeg", "png", "webp"):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        (folder / f"red.{kind}").write_bytes(buffer.getvalue())
    return [(str(folder / f"red.{kind}"), f"image/{kind}") for kind in ("jpeg", "png", "webp")]


@pytest.mark.host  # downloads the pinned wheels on first use
@pytest.mark.parametrize(
    ("make", "ask"), [(tiny.question_answering, questions), (tiny.image_classification, pictures)]
)
def test_the_unpacked_zip_answers_with_nothing_but_its_own_content(
    tmp_path: Path, make: Callable[[Path], Path], ask: Callable[[Path], list[tuple[str, str]]]
) -> None:
    requests = ask(tmp_path)
    python = f"3.{sys.version_info.minor}"
    model = make(tmp_path / "model")
    built = package(model, "functions", out=tmp_path, python=python, report=quiet)
    root = tmp_path / "wwwroot"
    with zipfile.ZipFile(built.path) as archive:
        archive.extractall(root)

    alone = [sys.executable, "-I", "-S", "-B", "-c", ANSWER, str(root), json.dumps(requests)]
    done = subprocess.run(alone, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    answers = [line.partition(" ") for line in done.stdout.splitlines()]
    assert [status for status, _, _ in answers] == ["200"] * len(requests)
    assert all(
        ("rebecca" in body.lower()) or (json.loads(body)[0]["label"] == "red")
        for _, _, body in answers
    )
    assert built.size < 45_000_000
