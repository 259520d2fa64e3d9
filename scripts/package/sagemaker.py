"""SageMaker: model.tar.gz as the Hugging Face inference container unpacks it to /opt/ml/model.

The container installs code/requirements.txt before it serves.
"""

from __future__ import annotations

from onnxferry.scripts.package import pins
from onnxferry.scripts.package.archive import write_tar_gz
from onnxferry.scripts.package.layout import Entry, PackageLayout
from onnxferry.scripts.package.model import CheckedModel

_HEAD = """\
# Made by onnxferry. The container installs this over what it has: what scoring imports and what
# onnxruntime brings, but huggingface-hub, which its transformers needs as it is.
"""


def added(model: CheckedModel) -> list[Entry]:
    """code/requirements.txt: exact pins for each Python of the images."""
    names = {"numpy", *pins.with_closure(["onnxruntime"]), *model.libraries}
    text = _HEAD + pins.lines(sorted(names))
    return [Entry("code/requirements.txt", text.encode())]


LAYOUT = PackageLayout(
    target="sagemaker",
    file="model.tar.gz",
    write=write_tar_gz,
    added=added,
    model="",
    code="code/",
    # of the images transformers 4.51.3 and 4.49.0 (py312), 4.48.0 (py311) and 4.37.0 (py310)
    pythons=("3.12", "3.11", "3.10"),
    # the endpoint's volume: CreateEndpointConfig takes at most 512 as VolumeSizeInGB
    unpacked=512_000_000_000,
)
