"""A PyTorch module given as `module:factory`, as a source.

The factory takes no arguments and returns a torch.nn.Module. Its forward takes pixels [b, 3, h, w],
or some of `input_ids`, `attention_mask`, `token_type_ids` [b, s] by name, and returns logits [b,
labels], start and end logits [b, s] each, token vectors [b, s, hidden], logits [b, s, labels or
vocabulary], logits [b, queries, classes] with boxes [b, queries, 4], or a picture's hidden state.
For `tensors` see tensor_export.py.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources import pytorch, tensor_export
from onnxferry.scripts.prepare.sources.settings.image_settings import input_size, is_image_task
from onnxferry.scripts.prepare.sources.settings.user_settings import (
    DescribedModel,
    described_by_user,
)
from onnxferry.scripts.prepare.sources.source import Feeds, ModelSource, prepare_errors
from onnxferry.system.console import stage
from onnxferry.system.errors import PrepareError, UsageError


def load(options: Options) -> ModelSource:
    """Import the factory, call it, and derive the rest from the user's files."""
    found = described_by_user(options, {})
    with stage(f"load {options.source}"):
        module = build(options.source)
    if options.golden and found.task == "tensors":
        example, axes = tensor_export.trace_inputs(options.golden, options.inputs, module)
    else:
        example, axes = _trace_inputs(found, module)
    opset = options.opset or pytorch.OPSET
    export = lambda path: pytorch.export(module, path, example, axes, opset)  # noqa: E731
    kind, digest = type(module).__name__, pytorch.fingerprint(module)
    record = {"kind": "module", "name": options.source, "architecture": kind, "sha256": digest}
    run = pytorch.runner(module)
    return ModelSource(**vars(found), export=export, run=run, record=record)


def build(name: str) -> Any:
    """The torch.nn.Module of `module:factory`, float32, in evaluation mode."""
    what, (where, _, factory) = f"SOURCE {name}", name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        make = getattr(importlib.import_module(where), factory)
    except (ImportError, AttributeError) as e:
        places = f"Modules are looked for in {here} and in the environment"
        raise UsageError(f"{what}: {e}. {places}") from e
    except Exception as e:  # the user's own code
        raised = f"importing {where} raised {type(e).__name__}"
        raise PrepareError(f"{what}: {raised}: {e}") from e
    with prepare_errors(f"{what}: {factory}()"):
        module = make()
    if not pytorch.is_module(module):
        got = f"{factory}() returned {type(module).__name__}"
        raise UsageError(f"{what}: {got}, expected a torch.nn.Module")
    return module.float().eval()


def _trace_inputs(source: DescribedModel, module: Any) -> tuple[Feeds, Mapping[str, pytorch.Axes]]:
    """Feeds of two rows (1 would be taken for a constant), and the dynamic axes of all."""
    outputs, names = pytorch.outputs(source.task), pytorch.parameters(module)
    if is_image_task(source.task):
        channels = len(source.settings["image_mean"])
        pixels = np.zeros((2, channels, *input_size(source.settings)), np.float32)
        return {"pixel_values": pixels}, {"pixel_values": pytorch.ROW, **outputs}
    wanted = [name for name in names if name in pytorch.TEXT_INPUTS]
    if "input_ids" not in wanted:
        takes = f"{type(module).__name__}.forward takes {', '.join(names)}"
        needs = "needs input_ids, and attention_mask and token_type_ids if the model uses them"
        raise PrepareError(f"{takes}; {source.task} {needs}")
    axes = {**dict.fromkeys(wanted, pytorch.TOKEN), **outputs}
    return {name: np.ones((2, 8), np.int64) for name in wanted}, axes
