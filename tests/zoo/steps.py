"""The two steps of the zoo under one major version of transformers, in one process."""

from __future__ import annotations

import shutil
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import transformers

from tests.zoo.build import ANSWERS, build
from tests.zoo.compare import FAILED, Outcome, compared
from tests.zoo.pairs import Pair

MAJOR = int(transformers.__version__.partition(".")[0])
FAULT = "fault.txt"


def build_all(pairs: Sequence[Pair], work: Path) -> None:
    """Each pair below `work`/MAJOR, unless it is there."""
    _quiet()
    for pair in pairs:
        folder = work / str(MAJOR) / pair.name
        if (folder / ANSWERS).is_file():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        try:
            build(pair, folder)
        except Exception as e:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FAULT).write_text(f"{type(e).__name__}: {e}\n{traceback.format_exc()}")


def compare_all(pairs: Sequence[Pair], work: Path) -> None:
    """Each pair that any version built, prepared under this one."""
    _quiet()
    for pair in pairs:
        for saved in sorted(int(p.name) for p in work.iterdir() if p.name.isdecimal()):
            _compare(pair, work / str(saved) / pair.name, saved)


def _compare(pair: Pair, folder: Path, saved: int) -> None:
    file = folder / f"outcome-{MAJOR}.json"
    if file.is_file() or not folder.is_dir():
        return
    if (folder / ANSWERS).is_file():
        outcome = compared(pair, folder, saved, MAJOR)
    else:
        detail = "not built: " + (folder / FAULT).read_text().partition("\n")[0]
        outcome = Outcome(pair.name, saved, MAJOR, FAILED, detail)
    file.write_text(outcome.to_json(), encoding="utf-8")
    sys.stderr.write(f"{outcome.outcome:8} {pair.name} {saved} -> {MAJOR} {outcome.detail[:300]}\n")


def _quiet() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
