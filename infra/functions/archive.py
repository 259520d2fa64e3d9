"""What a published package says of itself: the golden request in its model_spec.json, which no host and no user can
lose or confuse with another version's."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from infra.errors import CloudError
from scoring.contract import SPEC_FILE, Golden, ModelSpec
from scoring.errors import ModelError


def golden_of(package: Path) -> Golden:
    """The golden request of function.zip."""
    try:
        with zipfile.ZipFile(package) as zipped, tempfile.TemporaryDirectory() as folder:
            (Path(folder) / SPEC_FILE).write_bytes(zipped.read(f"model/{SPEC_FILE}"))
            golden = ModelSpec.read(Path(folder)).golden
    except (OSError, KeyError, zipfile.BadZipFile, ModelError) as e:
        raise CloudError(f"package {package.name}: no function package of onnxferry ({e!r})") from e
    if golden is None:
        raise CloudError(f"package {package.name}: its model_spec.json has no golden request to prove it with")
    return golden
