"""Models beyond 2 GB, which is more than a protobuf holds: prepared, packaged and served, with
memory for less than four times the file. Minutes, and 12 GB of disk: only with -m large.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts import peak_memory
from onnxferry.scripts.package import package
from onnxferry.scripts.peak_memory import Step
from onnxferry.system.errors import PackageError
from tests.packages import bare, quiet
from tests.scripts import large_models

pytestmark = [pytest.mark.large, pytest.mark.timeout(7200)]
LOOSE = ["--max-metric-drop", "100%", "--min-agreement", "0"]  # random weights agree little
ASK = """
import json, sys
from pathlib import Path
sys.path.insert(0, ".")
from onnxferry import scoring
answer = scoring.load(Path("model")).handle(scoring.Request(b'{"inputs": "good day"}'))
print(json.dumps([answer.status, len(json.loads(answer.body))]))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("source")
    yield large_models.bert(folder / "model")
    shutil.rmtree(folder)


def bounded(steps: Sequence[Step], spec: ModelSpec) -> bool:
    """Whether the model is beyond a protobuf, and no step had four times its file."""
    size = peak_memory.whole(spec)
    worst = max(steps, key=lambda step: step.peak)
    print(f"{worst} of {size:,}")
    return size > 2**31 and worst.peak < 4 * size


def test_every_variant_of_a_model_beyond_2_gb_is_made(source: Path, tmp_path: Path) -> None:
    steps, spec = peak_memory.measure(str(source), LOOSE, (), tmp_path)
    shutil.rmtree(tmp_path)
    assert bounded(steps, spec)
    became = {row["name"]: row["status"] for row in spec.provenance["variants"]}
    assert "failed" not in became.values()
    good = {name for name, status in became.items() if status in ("within", "chosen")}
    assert good >= {"fp32", "fp32-optimised", "int8-static-reduced", "fp16-weights"}


def test_a_model_beyond_2_gb_is_packaged_and_served(source: Path, tmp_path: Path) -> None:
    flags = ["--variant", "fp32", *LOOSE]
    steps, spec = peak_memory.measure(str(source), flags, ("local", "sagemaker"), tmp_path)
    assert bounded(steps, spec)
    (archive,) = (tmp_path / "sagemaker").rglob("model.tar.gz")
    archive.unlink()
    (folder,) = (tmp_path / "local").glob("*/package")
    assert (folder / "model" / "model.onnx.data").stat().st_size > 2**31
    run = [sys.executable, "-c", ASK]
    found = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == [200, 1024]
    said = r"2,\d{3}\.\d MB unpacked; functions takes 800\.0 MB.*model\.onnx\.data 2,\d{3}"
    with pytest.raises(PackageError, match=said):
        package(tmp_path / "model", bare("functions"), out=tmp_path, report=quiet)
    shutil.rmtree(tmp_path)
