"""tokenizer.json on the tokenizers that ships, which may be older than the tool-chain's: it must be
read there, and give the same tokens."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from onnxferry.scripts.datasets.built_in import BUILT_IN
from onnxferry.scripts.package import pins, wheels
from onnxferry.system import console
from onnxferry.system.errors import PackageError, PrepareError

NAME = "tokenizers"
# pip asks once: that there is no network is told soon
_ONCE = {"PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "15"}
_AWKWARD = (
    *("", " ", "naïve Café ﬁne", "東京 😀👩\u200d🚀", "<s>[CLS]</s>[SEP]<mask>"),
    "a\n\tb  c\u200b",
)
_ADVICE = "save it again with transformers 4.57 or older, or give another with --tokenizer"
# Runs by itself, on either version: the tokens of texts, and of each as a pair with itself.
_SCRIPT = """
import json, sys
path, texts, *first = json.load(sys.stdin)
sys.path[:0] = first
import tokenizers
try:
    made = tokenizers.Tokenizer.from_file(path)
    found = [made.encode(*pair) for t in texts for pair in ((t,), (t, t))]
    rows = [[e.ids, e.type_ids, [list(o) for o in e.offsets]] for e in found]
    answer = {"version": tokenizers.__version__, "rows": rows}
except Exception as e:
    answer = {"version": tokenizers.__version__, "error": str(e)}
print(json.dumps(answer))
"""


def record(tokenizer: Path) -> dict[str, Any]:
    """What provenance says of the tokenizer.json `tokenizer`, if there is one; also told where it
    could not be tried. Raises PrepareError as `tried`."""
    if not tokenizer.is_file():
        return {}
    found = tried(tokenizer)
    if why := found.get("not tried"):
        told = f"    {tokenizer.name} was not tried: {why}"
        console.err.print(told, style="yellow", markup=False)
    return {"tokenizer": found}


def tried(tokenizer: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The version that it was tried on, or why on none. Raises PrepareError where it cannot be read
    there, or gives other tokens."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    shipped = pins.version(NAME, python)
    if metadata.version(NAME) == shipped:
        return {"tried_on": shipped}
    folder, why = _library(shipped, python, tuple(environ.items()))
    if folder is None:
        return {"not tried": why}
    texts = [*_AWKWARD, *_samples()]
    ours, theirs = (_tokens(tokenizer, texts, first) for first in ([], [str(folder)]))
    if ours is None or theirs is None or theirs["version"] != shipped:
        return {"not tried": f"{NAME} {shipped}, which ships, does not run on this machine"}
    _compare(ours, theirs, texts)
    return {"tried_on": shipped}


def _compare(ours: Mapping[str, Any], theirs: Mapping[str, Any], texts: Sequence[str]) -> None:
    ships = f"{NAME} {theirs['version']}, which ships"
    if "error" in theirs:
        what = f"tokenizer.json cannot be read by {ships}: {theirs['error']}"
        raise PrepareError(f"{what}; {_ADVICE}")
    pairs = zip(ours["rows"], theirs["rows"], strict=True)
    other = [texts[i // 2] for i, (a, b) in enumerate(pairs) if a != b]
    if other:
        what = f"tokenizer.json gives other tokens by {ships}, such as for {other[0][:60]!r}"
        raise PrepareError(f"{what}; {_ADVICE}")


@functools.cache
def _library(
    version: str, python: str, environ: tuple[tuple[str, str], ...]
) -> tuple[Path | None, str]:
    """The folder of the library that ships, as packages have it, or why it cannot be had; asked
    once a process."""
    try:
        wanted = pins.hashed([f"{NAME}=={version}"])
        (folder,) = wheels.fetch(wanted, python, {**dict(environ), **_ONCE})
    except (PackageError, OSError) as e:
        return None, f"{NAME} {version}, which ships, cannot be had: {str(e).splitlines()[0]}"
    return folder, ""


def _tokens(tokenizer: Path, texts: Sequence[str], first: Sequence[str]) -> Any:
    """What the script says; None where the library cannot be loaded."""
    asked = json.dumps([str(tokenizer.resolve()), list(texts), *first])
    run = [sys.executable, "-I", "-c", _SCRIPT]
    done = subprocess.run(run, input=asked, check=False, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def _samples() -> list[str]:
    rows = (BUILT_IN / "feature-extraction.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(row)["inputs"] for row in rows if row]
