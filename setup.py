"""Installs each room of the repository as a package below `onnxferry`, the one top-level name.

The links in onnxferry/ do the same for a checkout.
"""

from __future__ import annotations

from setuptools import find_namespace_packages, setup

ROOMS = ("infra", "scoring", "scripts", "targets")
PARTS = find_namespace_packages(include=[*ROOMS, *(f"{room}.*" for room in ROOMS)])
INSIDE = find_namespace_packages(include=["onnxferry.pipelines*", "onnxferry.system*"])

setup(
    packages=["onnxferry", *INSIDE, *(f"onnxferry.{part}" for part in PARTS)],
    package_dir={f"onnxferry.{room}": room for room in ROOMS},
)
