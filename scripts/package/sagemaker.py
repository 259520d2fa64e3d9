"""SageMaker: model.tar.gz as the Hugging Face inference container unpacks it to /opt/ml/model.

The model is at the archive's root, code/inference.py beside it, and code/requirements.txt is what
the container installs before it serves. It finds nothing behind a wrapper folder or a link.
"""

from __future__ import annotations

from onnxferry.scripts.package import pins
from onnxferry.scripts.package.archive import write_tar_gz
from onnxferry.scripts.package.layout import (
    Entry,
    Limit,
    PackageLayout,
    PackageRequest,
    host_entries,
)

_REQUIREMENTS = """\
# Made by onnxferry. The container installs this over what it has, so only what scoring imports
# and what onnxruntime brings is pinned. huggingface-hub, which tokenizers asks for, is left as the
# container's transformers has it.
"""


def entries(request: PackageRequest) -> list[Entry]:
    """The model at the root, and code/."""
    return [
        *host_entries(request, "sagemaker", model="", code="code/"),
        Entry("code/requirements.txt", requirements(request.model.libraries).encode()),
    ]


def requirements(libraries: tuple[str, ...]) -> str:
    """The text of code/requirements.txt: exact pins with their markers, so that it serves each
    Python of the images."""
    names = sorted({"numpy", *pins.with_closure(["onnxruntime"]), *libraries})
    return _REQUIREMENTS + "".join(f"{line}\n" for line in pins.lines(names))


LAYOUT = PackageLayout(
    target="sagemaker",
    file="model.tar.gz",
    write=write_tar_gz,
    entries=entries,
    # of the images transformers 4.51.3 and 4.49.0 (py312), 4.48.0 (py311) and 4.37.0 (py310)
    pythons=("3.12", "3.11", "3.10"),
    # An archive has no documented limit; its files must fit the endpoint's volume, and
    # CreateEndpointConfig takes at most 512 as VolumeSizeInGB.
    limit=Limit(unpacked=512_000_000_000),
)
