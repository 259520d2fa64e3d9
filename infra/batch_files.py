"""The files of a batch, on whatever cloud: which of those that are there are inputs, and whose the
answers beside them are."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from onnxferry.infra.jobs import BatchRequest, DataFile, DataFormat, Dataset
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program

RECORDS = "_onnxferry/"  # below the output; what begins with _ is passed over by most readers
RECORD = f"{RECORDS}batch.json"  # says whose the answers there are
ANSWER = ".out"

Answered = Callable[[tuple[DataFile, ...]], Collection[str]]  # those that have an answer file


def dataset_in(
    place: str, name: str, sizes: Mapping[str, int], formats: Sequence[DataFormat], found: Answered
) -> Dataset:
    """The inputs below `place`, where files of these `sizes` are; only the file `name`, if that is
    not "". Raises UsageError where they are of none of the `formats`, or of several."""
    named = {one: size for one, size in sizes.items() if name in ("", one)}
    by_suffix = {one: format_of(one, formats) for one in named}
    known = {one: named[one] for one, form in by_suffix.items() if form}
    kinds = list(dict.fromkeys(form for form in by_suffix.values() if form))
    if len(kinds) != 1:
        raise UsageError(f"{place}{name}: {_mixed(kinds, formats)}")
    files = tuple(DataFile(one, size) for one, size in sorted(known.items()) if size)
    if not files:
        raise UsageError(f"{place}{name}: the files are empty")
    others = sum(not one.endswith("/") for one in named) - len(known)
    done = frozenset(found(files))
    return Dataset(place, kinds[0], files, done, others, len(known) - len(files))


def folder_key(key: str) -> str:
    """A key as that of a folder; "" is all that there is."""
    return key if not key or key.endswith("/") else f"{key}/"


def record_in(text: bytes | str, where: str) -> Mapping[str, Any]:
    """What a record says. Raises UsageError for one that is not ours."""
    try:
        found = json.loads(text)
        return {key: found[key] for key in ("input", "endpoint", "version")}
    except (ValueError, KeyError, TypeError) as e:
        raise UsageError(f"{where}: not onnxferry's record of a batch; move it away") from e


def check_answers(
    asked: BatchRequest, out: str, done: int, found: Mapping[str, Any] | None, wanted: Any
) -> None:
    """Refuse to add to answers at `out`, so many of which are there, that another version gave, or
    that are of other inputs: the record that was `found` says so, where it is not as `wanted`."""
    if asked.overwrite or not (done or found):
        return
    advice = "give another --output, or --overwrite to score all again"
    if found is None:
        raise UsageError(f"{out}: holds {done} answer(s) of nobody knows which model; {advice}")
    if other := [f"{key} {found[key]}" for key in wanted if found[key] != wanted[key]]:
        raise UsageError(f"{out}: its answers are of {', '.join(other)}; {advice}")


def other_version(job: str) -> UsageError:
    """The error that a job of another version is at work there."""
    return UsageError(
        f"{job}: this job of another version is at work on the same input and output; wait, or stop"
        f" it: {program('batch')} ... --cancel"
    )


def format_of(name: str, formats: Sequence[DataFormat]) -> DataFormat | None:
    """The format of a file, by its suffix."""
    lower = name.lower()
    return next((one for one in formats if lower.endswith(one.suffixes)), None)


def _mixed(found: Sequence[DataFormat], formats: Sequence[DataFormat]) -> str:
    if found:
        kinds = " and ".join(one.name for one in found)
        return f"holds {kinds}; one job takes files of one kind: name a folder"
    known = "; ".join(f"{one.name}: {', '.join(one.suffixes)}" for one in formats)
    return f"no file that is known by its suffix ({known})"
