"""The whole way of prepare on a small copy of the model, in a folder that is deleted: what would
fail after an hour fails in seconds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.prepare.options import Options, check
from onnxferry.scripts.prepare.pipeline import prepare
from onnxferry.scripts.prepare.sources.inspection.inspection import Inspection, inspect
from onnxferry.scripts.prepare.verification.pipeline_comparison import reference
from onnxferry.system.console import stage
from onnxferry.system.errors import UsageError
from onnxferry.system.library_output import silence_libraries

_ITEMS = 16  # of --data


def passed(options: Options) -> list[str]:
    """What passed, line by line. Raises what prepare raises; `options.out` is not touched."""
    check(options)
    found, began = inspect(options), time.monotonic()
    if not found.folder or found.folder.graph:
        takes = "takes a model with weights for PyTorch and a configuration"
        raise UsageError(f"--test {takes}; {options.source} is its own graph or module")
    with tempfile.TemporaryDirectory(prefix="onnxferry-test-") as folder:
        small, what = _small(found, Path(folder))
        spec = prepare(small)
    seconds = time.monotonic() - began
    nothing = f"nothing is written to {options.out}; leave --test out to make it"
    return [*_told(spec), f"the test passed with a {what}, in {seconds:.0f} s; {nothing}"]


def _small(found: Inspection, folder: Path) -> tuple[Options, str]:
    options, source = found.options, found.folder
    assert source  # noqa: S101  # `passed` has refused others
    with silence_libraries(), stage("make a copy with two layers and random weights"):
        from onnxferry.scripts.prepare.sources.huggingface import small_copy

        what = small_copy.copy(source, folder / "model")
        if options.adapter:
            base = folder / "model"
            small_copy.adapter(options.adapter, base, str(source.task), folder / "adapter")
    small = replace(
        options,
        source=str(folder / "model"),
        out=folder / "out",
        name=options.model_name,
        task=source.task,
        adapter=folder / "adapter" if options.adapter else None,
        limit=min(options.limit or _ITEMS, _ITEMS),
        no_cache=True,
        min_agreement=0.0,  # random weights agree by chance
        max_metric_drop=1.0,
    )
    return small, what


def _told(spec: ModelSpec) -> Iterator[str]:
    variants: list[Mapping[str, Any]] = spec.provenance["variants"]
    made = [row["name"] for row in variants if row["status"] in ("within", "chosen")]
    yield f"made and asked: {', '.join(made)}"
    for row in variants:
        if row["status"] in ("failed", "rejected"):
            yield f"{row['status']}: {row['name']}: {row.get('reason', '')}"
    pipeline = spec.provenance["difference"].get("pipeline", {})
    if "max_abs" in pipeline:
        far = f"{pipeline['inputs']} inputs, maximum difference {pipeline['max_abs']:.1e}"
        yield f"as {reference(spec.task)}: {far}"
