"""What a published package says of itself: the golden request in its model_spec.json, which no host
and no user can lose or confuse with another version's."""

from __future__ import annotations

import zipfile
from pathlib import Path

from onnxferry.infra.errors import CloudError
from onnxferry.infra.smoke import golden_in
from onnxferry.scoring.manifest import SPEC_FILE, Golden


def golden_of(package: Path) -> Golden:
    """The golden request of function.zip."""
    try:
        with zipfile.ZipFile(package) as zipped:
            text = zipped.read(f"model/{SPEC_FILE}")
    except (OSError, KeyError, zipfile.BadZipFile) as e:
        raise CloudError(f"package {package.name}: no function package of onnxferry ({e!r})") from e
    return golden_in(text, f"package {package.name}")
