"""How long a run of prepare will take: told at its start by the size of the weights, the length of
the inputs and this machine's speed, and again after the source model and its graph were timed.

Of BERT-base's time four fifths are runs of the model, and their number is known: each input once
through the source model and the exported graph, the fused one that is calibrated, and one or two
variants. The shares below are of that model on two cores with AVX2. Mixed precision may come on
top: whether int8 needs it is not known before.
"""

from __future__ import annotations

import time
from statistics import fmean

import numpy as np

from onnxferry.scripts.prepare.options import FP32, Options
from onnxferry.scripts.prepare.sources.inspection.inspection import Inspection
from onnxferry.scripts.prepare.sources.settings.image_settings import is_image_task
from onnxferry.scripts.prepare.sources.user_inputs import samples
from onnxferry.scripts.prepare.verification.eval_set import CALIBRATION, LIMIT, LIMITS
from onnxferry.scripts.prepare.verification.evaluator import Evaluator
from onnxferry.system import console

LEAST = 30.0  # seconds; less is not worth a word
CHARACTERS = 4.5  # of a token
_START = 8.0  # seconds of imports
_FILES = 45.0  # seconds a GB of weights: export, fuse, prove, write and load
_ROUNDS = 100  # inputs that are timed, in rounds of all variants
# passes over the inputs of a gate, beside the source model's: the exported graph, and with int8
# the calibration and two variants of half the time
_PASSES = {FP32: 2.0}
_INT8_PASSES = 3.2
_DENSE = 0.8  # of the weights: those that each token is multiplied with, and not looked up


def before(found: Inspection) -> float | None:
    """The seconds of a run, from its start on; None of a source whose work is not known before it
    runs: pictures, modules and .onnx files."""
    folder, task = found.folder, found.task
    if folder is None or task is None or is_image_task(task):
        return None
    lengths = [len(sample.request.body) / CHARACTERS for sample in samples(task, None)]
    if not lengths:
        return None
    weights = folder.weight_bytes
    each = fmean(lengths) * weights / 4 * _DENSE * 2 / operations_a_second()
    own = 2 * each * len(lengths)  # the source model's and the exported graph's
    data = each * _items(found.options, task)
    later = _later(found.options, each, len(lengths), _items(found.options, task))
    return _START + _FILES * weights / 1e9 + own + data + later


def after(options: Options, evaluator: Evaluator) -> float:
    """The seconds that are left when the exported graph is verified."""
    data = evaluator.eval_set
    items = len(data.items) if data else 0
    return _later(options, evaluator.seconds_each, len(evaluator.samples), items)


def _later(options: Options, each: float, count: int, items: int) -> float:
    """What calibration, evaluation and rounds take, where an input takes `each` seconds."""
    passes = _PASSES.get(options.precision, _INT8_PASSES) - 1
    spare = CALIBRATION if items and options.precision != FP32 else 0
    return each * (passes * (count + items) + spare + _ROUNDS)


def _items(options: Options, task: str) -> int:
    return (options.limit or LIMITS.get(task, LIMIT)) if options.data else 0


def operations_a_second(size: int = 1024, times: int = 3) -> float:
    """Of float32, in products of matrices on all cores: 60 ms to measure."""
    matrix = np.ones((size, size), np.float32)
    seconds: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def tell(seconds: float | None, more: str) -> None:
    """Print what `told` says, if it says anything."""
    if text := told(seconds, more):
        console.err.print(f"    {text}", style="dim", markup=False)


def told(seconds: float | None, more: str = "") -> str | None:
    """Such as "about 2 minutes"; None where that is not worth a word."""
    if seconds is None or seconds < LEAST:
        return None
    minutes = round(seconds / 60)
    length = f"{round(seconds / 10) * 10} s" if seconds < 90 else f"{minutes} minutes"
    return f"about {length}{more}"
