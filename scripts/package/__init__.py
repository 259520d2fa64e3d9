"""Model directory + target -> the package that the platform loads.

    built = package(Path("models/squad"), "sagemaker")     # build/sagemaker/squad/model.tar.gz and
    package.json
    read(built.path) == built

A new target costs one file that returns its entries and one row in TARGETS (build.py).
"""

from onnxferry.scripts.package.build import DEFAULT_PYTHON, TARGETS, package
from onnxferry.scripts.package.contract import Member, Package
from onnxferry.scripts.package.manifest import read

__all__ = ["DEFAULT_PYTHON", "TARGETS", "Member", "Package", "package", "read"]
