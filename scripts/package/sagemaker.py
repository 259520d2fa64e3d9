"""SageMaker: model.tar.gz as the Hugging Face inference container unpacks it to /opt/ml/model.

The libraries lie unpacked in code/, which the container's server puts before its own on Python's
path. There is no code/requirements.txt: with one the container would install from the package index
at every start, which fails without egress.
"""

from __future__ import annotations

from functools import partial

from onnxferry.scripts.package import slim
from onnxferry.scripts.package.archive import write_tar_gz
from onnxferry.scripts.package.layout import PackageLayout

LAYOUT = PackageLayout(
    target="sagemaker",
    file="model.tar.gz",
    write=write_tar_gz,
    added=partial(slim.brought, under="code/"),
    model="",
    code="code/",
    # of the images transformers 4.51.3 and 4.49.0 (py312), 4.48.0 (py311) and 4.37.0 (py310)
    pythons=("3.12", "3.11", "3.10"),
    # the endpoint's volume: CreateEndpointConfig takes at most 512 as VolumeSizeInGB
    unpacked=512_000_000_000,
)
