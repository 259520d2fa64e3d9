"""The process of one engine: takes commands as JSON lines on standard input, and answers in kind.

It is started by its path, with an interpreter that may have only the engine's library. When its
input closes, it removes its temporary folder (the argument) and ends, whatever it does then.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import itertools
import json
import os
import queue
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

ROOMS = Path(__file__).resolve().parents[2]


class LoadedEngine:
    """One engine and the requests that it is asked."""

    def __init__(self) -> None:
        self._answer: Callable[[list[Any]], list[Any]] = list
        self._requests: list[list[Any]] = []

    def load(
        self, kind: str, folder: str, task: str, options: dict[str, Any], cores: int | None
    ) -> Any:
        """Import and load the engine. Returns the seconds."""
        if cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
        began = time.perf_counter()
        # this project, without the libraries that lie beside an installed one
        sys.modules["onnxferry"] = project = types.ModuleType("onnxferry")
        project.__path__, project.__file__ = [str(ROOMS)], str(_own_file())
        try:
            module = importlib.import_module(f"onnxferry.scripts.benchmark.engines.{kind}")
        except Exception as e:  # whatever a library raises that another's version breaks
            raise ImportError(_cause(e)) from e
        self._answer = module.load(folder, task, options)
        return time.perf_counter() - began

    def answers(self, requests: list[list[Any]]) -> Any:
        """The answers to the items of the requests, which `play` repeats."""
        self._requests = requests
        return [answer for request in requests for answer in self._answer(request)]

    def play(self, arrivals: list[float] | None, streams: int, seconds: float) -> Any:
        """One round: (asked, answered) of each request, in seconds since it began.

        Each of `streams` threads takes the next request when it is free, again and again for
        `seconds`. With `arrivals` a request counts as asked at its time, even if it waits.
        """
        from concurrent.futures import ThreadPoolExecutor  # only here: it slows a cold start

        spans: list[tuple[float, float]] = []
        requests, numbers = self._requests, itertools.count()  # whose next() is atomic
        began = time.perf_counter()

        def stream() -> None:
            for number in numbers:
                asked = now = time.perf_counter() - began
                if arrivals is not None:
                    if number >= len(arrivals):
                        return
                    asked = arrivals[number]
                    time.sleep(max(0.0, asked - now))
                elif number >= len(requests) and now >= seconds:
                    return
                self._answer(requests[number % len(requests)])
                spans.append((asked, time.perf_counter() - began))

        if streams == 1:
            stream()
            return spans
        with ThreadPoolExecutor(streams) as pool:
            for done in [pool.submit(stream) for _ in range(streams)]:
                done.result()  # raises what the stream raised
        return spans

    def memory(self) -> Any:
        """The most memory that this process had, in bytes; None where the system does not tell."""
        return _peak(Path("/proc/self"))

    def memory_below(self) -> Any:
        """The same of the largest process below this one of each command: Spark's "java", and its
        workers, "python". Nothing where the system does not tell."""
        found: dict[str, int] = {}
        for folder, name, _ in _session():
            if int(folder.name) != os.getpid():
                kind = "python" if name.startswith("python") else name
                found[kind] = max(found.get(kind, 0), _peak(folder) or 0)
        return found

    def cpu_seconds(self) -> Any:
        """What this process and all below it have computed so far; 0 where the system does not
        tell."""
        ticks = sum(sum(map(int, fields[11:15])) for _, _, fields in _session())
        return ticks / os.sysconf("SC_CLK_TCK") if ticks else 0.0

    def thread_seconds(self) -> Any:
        """What each thread of this process has computed so far; nothing where the system does not
        tell."""
        found = {}
        for folder in Path("/proc/self/task").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or the kernel does not count
                found[folder.name] = int((folder / "schedstat").read_text().split()[0]) / 1e9
        return found

    def versions(self, packages: list[str]) -> Any:
        """The versions of those that are installed."""
        found = {}
        for name in packages:
            with suppress(importlib.metadata.PackageNotFoundError):
                found[name] = importlib.metadata.version(name)
        return found


def _cause(error: BaseException) -> str:
    """What failed first: libraries tell one that misses another as missing themselves. With the
    package that was being imported, where the error does not name it."""
    first = error
    while cause := first.__cause__ or (None if first.__suppress_context__ else first.__context__):
        first = cause
    places = [frame.filename for frame in traceback.extract_tb(first.__traceback__)]
    inside = [Path(place).parts for place in places if "site-packages" in Path(place).parts]
    package = inside[-1][inside[-1].index("site-packages") + 1] if inside else ""
    told = str(first) if isinstance(first, ImportError) else f"{type(first).__name__}: {first}"
    return told if not package or package in told else f"{told} (while {package} was imported)"


def _own_file() -> Path:
    """The project's own __init__.py, in a checkout below the folder of its rooms."""
    places = [ROOMS, ROOMS / "onnxferry"]
    return next(p / "__init__.py" for p in places if (p / "__init__.py").is_file())


def _session() -> Iterator[tuple[Path, str, list[str]]]:
    """The processes of this one's session: their folder, their name, and what Linux tells of them
    after that."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (folder / "stat").read_text()
            begin, end = told.index("("), told.rindex(")")
            fields = told[end + 1 :].split()
            if int(fields[3]) == os.getsid(0):
                yield folder, told[begin + 1 : end], fields


def _peak(folder: Path) -> int | None:
    # getrusage would count what the process that started this one had
    with suppress(OSError):
        for line in (folder / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def _pipes() -> tuple[TextIO, TextIO]:
    """Standard input and output, which libraries no longer reach: they print to standard error."""
    commands = os.fdopen(os.dup(0), encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return commands, replies


def _lines(commands: TextIO) -> Iterator[dict[str, Any]]:
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in commands:
            waiting.put(line)
        import shutil  # only here: imports count in a cold start

        shutil.rmtree(sys.argv[1], ignore_errors=True)
        os._exit(0)  # even while an engine runs: nobody waits for its answer

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(waiting.get())


def _reply(work: LoadedEngine, command: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": getattr(work, command.pop("do"))(**command)}
    except ImportError as e:
        traceback.print_exc()
        return {"missing": str(e)}
    except Exception as e:  # whatever an engine raises
        traceback.print_exc()
        return {"error": f"{type(e).__name__}: {e}"}


def main() -> None:
    """Answer commands until standard input closes."""
    commands, replies = _pipes()
    work = LoadedEngine()
    for command in _lines(commands):
        replies.write(json.dumps(_reply(work, command), default=float) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
