"""A pair's folder prepared, served, and compared with what its library answered."""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry import scoring
from onnxferry.scoring import Request, Scorer
from onnxferry.scripts.prepare import Options, onnx_file_io, prepare
from onnxferry.scripts.prepare.variants.table import SHIPPED, VariantTable
from onnxferry.scripts.prepare.variants.variant import Variant
from onnxferry.system.errors import FerryError
from tests.zoo.build import ANSWERS
from tests.zoo.pairs import Pair

OK, SLOWER, REFUSED, FAILED = "ok", "slower", "refused", "failed"
FAR = 2e-3  # of the largest number of an answer
NEWER = r"transformers"  # in the refusal of a folder that a newer major version saved
REMADE = "prepare the model under transformers 4"  # of an older one's tokenizer, read otherwise


@dataclass(frozen=True)
class Outcome:
    """What became of a pair saved by one major version and prepared under another. SLOWER: right,
    but its attention stays as exported. `detail`: the refusal, or what went wrong."""

    pair: str
    saved: int
    prepared: int
    outcome: str
    detail: str = ""
    far: float = 0.0
    attention: int = 0
    seconds: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def compared(pair: Pair, folder: Path, saved: int, prepared: int) -> Outcome:
    """Never raises: what fails is an outcome too."""
    began, facts = time.monotonic(), (pair.name, saved, prepared)
    expected = NEWER if saved > prepared else pair.refused
    out = folder / f"prepared-{prepared}"
    shutil.rmtree(out, ignore_errors=True)
    task = pair.task if pair.task in ASKED_FOR else None
    try:
        spec = prepare(Options(str(folder / "model"), out, task, variant=SERVED.name), _table())
        if expected:
            return Outcome(*facts, FAILED, f"taken, but should be refused: {expected}")
        far = max(_differences(scoring.load(out), json.loads((folder / ANSWERS).read_text())))
    except FerryError as e:
        said = str(e)
        documented = re.search(expected or (REMADE if saved < prepared else "$^"), said)
        return Outcome(*facts, REFUSED if documented else FAILED, said)
    except Exception as e:
        return Outcome(*facts, FAILED, f"{type(e).__name__}: {e}")
    finally:
        shutil.rmtree(out, ignore_errors=True)
    attention = int(spec.provenance["fusion"].get("Attention", 0))
    if not far <= FAR:
        return Outcome(*facts, FAILED, f"answers differ by {far:.2g} of their largest number", far)
    kind = OK if attention or not pair.vocabulary else SLOWER
    return Outcome(*facts, kind, "", far, attention, round(time.monotonic() - began, 1))


SERVED = Variant("served", "fp32", "fused", lambda i, target, _: onnx_file_io.copy(i.best, target))
ASKED_FOR = ("zero-shot-classification", "text-ranking", "sentence-similarity")


def _table() -> VariantTable:
    """Only the graph as exported, and fused as far as that goes: int8 of random weights says
    nothing."""
    return replace(SHIPPED, variants=(SHIPPED.variants[0], SERVED), skipped=lambda *_: None)


def _differences(scorer: Scorer, known: list[dict[str, Any]]) -> Iterator[float]:
    """One for each request alone, and one for all texts in one request."""
    ask = {"text-classification": {"top_k": None}}.get(scorer.spec.task, {})
    for row in known:
        body = {**row["body"], "parameters": {**row["body"].get("parameters", {}), **ask}}
        yield difference(_answer(scorer, body), row["answer"])
    inputs = [row["body"]["inputs"] for row in known]
    several = {**known[0]["body"], "inputs": inputs}
    several["parameters"] = {**several.get("parameters", {}), **ask}
    together = _answer(scorer, several)
    yield max(difference(a, row["answer"]) for a, row in zip(together, known, strict=True))


def _answer(scorer: Scorer, body: dict[str, Any]) -> Any:
    response = scorer.handle(Request(json.dumps(body).encode()))
    data = json.loads(response.body)
    if response.status != 200:
        raise AssertionError(f"status {response.status}: {data}")
    return data


def difference(ours: Any, theirs: Any) -> float:
    """The largest difference of a number, as a share of the largest; infinite where anything else
    differs. Rows with labels may come in any order."""
    if type(ours) is not type(theirs):
        return math.inf
    if isinstance(theirs, dict):
        shared = ((ours.get(key), value) for key, value in theirs.items())
        return max((difference(a, b) for a, b in shared), default=0.0)
    if isinstance(theirs, list) and any(isinstance(row, dict | str) for row in theirs):
        rows = zip(sorted(ours, key=_key), sorted(theirs, key=_key), strict=False)
        return (
            max(map(difference, *zip(*rows, strict=True))) if len(ours) == len(theirs) else math.inf
        )
    return (
        _far(ours, theirs)
        if isinstance(theirs, float | list)
        else (0.0 if ours == theirs else math.inf)
    )


def _far(ours: Any, theirs: Any) -> float:
    a, b = (np.ravel(np.asarray(value, dtype=np.float64)) for value in (ours, theirs))
    if a.shape != b.shape:
        return math.inf
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-3)) if a.size else 0.0


def _key(row: Any) -> str:
    if not isinstance(row, dict):
        return str(row)
    return json.dumps(
        [row.get(name) for name in ("index", "start", "end", "label", "entity", "token", "box")]
    )
