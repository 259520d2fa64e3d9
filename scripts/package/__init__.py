"""Model directory + target -> the package that the platform loads.

built = package(Path("models/squad"), "sagemaker")  # build/sagemaker/squad/model.tar.gz
read(built.path) == built
"""

from __future__ import annotations

from onnxferry.scripts.package.build import drafted, layout_of, package
from onnxferry.scripts.package.contract import Member, Package
from onnxferry.scripts.package.manifest import read

__all__ = ["Member", "Package", "drafted", "layout_of", "package", "read"]
