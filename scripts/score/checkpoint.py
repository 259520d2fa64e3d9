"""What a run has done, kept in OUTPUT.partial until OUTPUT is whole: its parts, a line about each
that is finished, and what the run is of. A run that is killed at any moment goes on behind the last
of these lines; one of another input, model or setting does not begin."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from onnxferry.system.errors import UsageError
from onnxferry.system.files import replacing


@dataclass(frozen=True)
class Part:
    """A finished file. `refused`: code -> rows."""

    file: str
    rows: int
    refused: Mapping[str, int]


class Checkpoint:
    """The folder of one run; see `opened`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = _parts(folder)

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def refused(self) -> dict[str, int]:
        """All parts' refused rows, by their codes."""
        total: Counter[str] = Counter()
        for part in self.parts:
            total.update(part.refused)
        return dict(total)

    def next_file(self, suffix: str) -> Path:
        """Where the next part is to be written, over what a run that was killed has left."""
        return self.folder / f"part-{len(self.parts):06d}{suffix}"

    def finish(self, file: Path, rows: int, refused: Mapping[str, int]) -> None:
        """The part is whole: from here on it is kept."""
        _to_disk(file)
        part = Part(file.name, rows, dict(refused))
        with (self.folder / _DONE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(part)) + "\n")
        _to_disk(self.folder / _DONE)
        self.parts.append(part)

    def files(self) -> list[Path]:
        """The parts, in order."""
        return [self.folder / part.file for part in self.parts]


_DONE, _RUN, _LOCK = "done.jsonl", "run.json", "lock"


@contextmanager
def opened(folder: Path, run: Mapping[str, str], *, anew: bool) -> Iterator[Checkpoint]:
    """The checkpoint of `run` (what -> its mark), new or as it was left, for this process alone.
    Raises UsageError where another process has it, where it holds what is no run's, and where it is
    of another run, unless `anew`: then it begins again. Where the block fails the folder stays if
    it has a part; where it ends well the folder goes."""
    _check_own(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / _LOCK, timeout=0), _removed_if_empty(folder):
            _begin(folder, run, anew=anew)
            yield Checkpoint(folder)
            _remove(folder)
    except Timeout as e:
        raise UsageError(f"{folder}: another process is at it; wait, or stop that one") from e


def _check_own(folder: Path) -> None:
    """Raise UsageError for a folder of something else, which would be removed in the end."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    own = {_DONE, _LOCK, folder.name.removesuffix(".partial")}  # as a kill leaves them
    others = [n for n in sorted(names - own) if not n.startswith(("part-", ".partial-"))]
    if others and _RUN not in names:
        what = f"holds {others[0]}, and no run of this command"
        raise UsageError(f"{folder}: {what}; move it away, or give another OUTPUT")


@contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if not _parts(folder):
            _remove(folder)
        raise


def _begin(folder: Path, run: Mapping[str, str], *, anew: bool) -> None:
    file = folder / _RUN
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    other = [what for what in run if before is not None and before.get(what) != run[what]]
    if other and not anew:
        what = f"was begun with another {' and another '.join(other)}"
        advice = "remove it to begin again, or give --overwrite"
        raise UsageError(f"{folder}: {what} than this run; {advice}")
    if other or before is None:
        (folder / _DONE).unlink(missing_ok=True)
        with replacing(file) as fresh:
            fresh.write_text(json.dumps(dict(run), indent=2), encoding="utf-8")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _parts(folder: Path) -> list[Part]:
    """Of the lines that are whole; a line that a kill has cut is cut off."""
    log = folder / _DONE
    if not log.is_file():
        return []
    text = log.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        with replacing(log) as fresh:
            fresh.write_text(whole, encoding="utf-8")
    return [Part(**json.loads(line)) for line in whole.splitlines()]


def _to_disk(file: Path) -> None:
    with file.open("rb") as opened_file:
        os.fsync(opened_file.fileno())
