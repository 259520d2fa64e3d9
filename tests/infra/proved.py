"""Tiny models that can prove their deployment."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from onnxferry import scoring
from onnxferry.infra.cloud import Bundle, bundle
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scripts.package import package
from tests import tiny


def prove(folder: Path) -> None:
    """Give a model directory its golden request and answer."""
    request = tiny.golden({"inputs": tiny.QUESTION}, None).request
    answer = json.loads(scoring.load(folder).handle(request).body)
    tiny.write_spec(folder, replace(ModelSpec.read(folder), golden=Golden(request, answer)))


def with_successor(folder: Path) -> tuple[Path, Path]:
    """A model directory below `folder`, and another whose answer differs as its successor."""
    first, successor = (tiny.question_answering(folder / name) for name in ("first", "successor"))
    tiny.span_graph(successor / "model.onnx", {"1946": (4, 4)})
    for each in (first, successor):
        prove(each)
    return first, successor


def proved_versions(
    target: str, folders: pytest.TempPathFactory, *, named: bool = False
) -> dict[str, Bundle]:
    """Packages "a", "b", "c" whose golden answers differ; with `named` the models are named so."""
    found = {}
    for name, word in (("a", "rebecca"), ("b", "1946"), ("c", "dolly")):
        folder = tiny.question_answering(folders.mktemp(name))
        tiny.span_graph(folder / "model.onnx", {word: (4, 4)})
        prove(folder)
        if named:
            tiny.write_spec(folder, replace(ModelSpec.read(folder), name=name))
        built = package(folder, target, out=folders.mktemp(f"{name}-out"))
        found[name] = bundle(built, folder)
    return found
