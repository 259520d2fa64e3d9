"""usage: azureml_batch.py SCRIPT MODEL_DIR SETTINGS (PORT | INPUT OUTPUT)

Runs inside the environment of a batch job, in the place of Microsoft's program that runs these,
which is in no package index. SETTINGS are those of batch-deployment.yml, as JSON. A job scores the
files below the folder INPUT into OUTPUT/<output_file_name>, as Microsoft's documentation tells:

- init() of SCRIPT once in each of max_concurrency_per_instance processes
- run() once for each mini-batch of mini_batch_size files, which are told by their paths
- a run() that raises, or gives no list, is called again, up to max_retries times; then the files of
  the mini-batch have failed. Of a list with fewer elements than files the rest have failed
- the job fails for more failed files than error_threshold (-1: for no number of them)
- append_row: each element is a line of the one file, in the order in which mini-batches end

With PORT it serves on 127.0.0.1: the body of a POST is a file, and a job; its lines are the answer.
Not rehearsed: the limit of time of a mini-batch, and several instances.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PARQUET, UNKNOWN = "application/vnd.apache.parquet", ".unknown"
_SUFFIXES = {
    "application/json": ".json",
    "application/jsonlines": ".jsonl",
    "text/csv": ".csv",
    PARQUET: ".parquet",
}
_script: Any  # of a process of the pool


class JobError(Exception):
    """The job has failed, and why."""


def file_name(content_type: str) -> str:
    """The name of the file that a body becomes; pictures tell their kind by their bytes."""
    media_type = content_type.partition(";")[0].strip().lower()
    picture = ".png" if media_type.startswith("image/") else UNKNOWN
    return f"request{_SUFFIXES.get(media_type, picture)}"


class Job:
    """The processes that score, for one job or for several in turn."""

    def __init__(self, script: Path, settings: dict[str, Any]) -> None:
        self._settings = settings
        spawn = multiprocessing.get_context("spawn")  # the script finds no state of this process
        most = settings["max_concurrency_per_instance"]
        self._pool = ProcessPoolExecutor(most, spawn, _init, (str(script),))
        self._pool.submit(_ready).result()

    def lines(self, files: Sequence[Path]) -> list[str]:
        """What run() gives for `files`, an element a line. Raises JobError."""
        size, most = self._settings["mini_batch_size"], self._settings["error_threshold"]
        paths = [str(file) for file in files]
        batches = [paths[first : first + size] for first in range(0, len(paths), size)]
        retries = self._settings["retry_settings"]["max_retries"]
        waiting = {self._pool.submit(_run, batch, retries): batch for batch in batches}
        lines, failed = [], 0
        for done in as_completed(waiting):
            found, batch = _result(done), waiting[done]
            failed += max(0, len(batch) - len(found))
            if 0 <= most < failed:
                for other in waiting:
                    other.cancel()
                raise JobError(f"{failed} file(s) failed, and error_threshold is {most}")
            lines += found
        return lines


def _result(done: Future[list[str]]) -> list[str]:
    """The elements of a mini-batch, none for one that has failed."""
    try:
        return done.result()
    except JobError as e:
        print(f"a mini-batch has failed: {e}", flush=True)
        return []


def _init(script: str) -> None:
    global _script
    # Microsoft's program imports both before the script
    for name in ("azureml.core", "azureml.dataprep"):
        importlib.import_module(name)
    sys.path.insert(0, str(Path(script).parent))
    _script = importlib.import_module(Path(script).stem)
    _script.init()


def _ready() -> None:
    """Once this has run, a process is up."""


def _run(paths: list[str], retries: int) -> list[str]:
    for _ in range(retries + 1):
        if (lines := _tried(paths)) is not None:
            return lines
    raise JobError(f"run() failed for {len(paths)} file(s), from {paths[0]}")


def _tried(paths: list[str]) -> list[str] | None:
    try:
        return [str(element) for element in _checked(_script.run(paths))]
    except Exception:
        traceback.print_exc()
        return None


def _checked(returned: Any) -> list[Any]:
    """A data frame would be fine, too; no script of ours gives one."""
    if not isinstance(returned, list):
        raise TypeError(f"run() must return a list, and gave {type(returned).__name__}")
    return returned


def score(job: Job, source: Path, output: Path, settings: dict[str, Any]) -> None:
    """One job over a folder."""
    lines = job.lines(sorted(path for path in source.rglob("*") if path.is_file()))
    output.mkdir(parents=True, exist_ok=True)
    with (output / settings["output_file_name"]).open("x") as file:  # it overwrites none
        file.writelines(f"{line}\n" for line in lines)


def serve(job: Job, folder: Path, port: int) -> None:
    """Each POST is a job of one file."""
    at_work = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, ["{}"])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            file = folder / file_name(self.headers.get("Content-Type", ""))
            with at_work:
                file.write_bytes(body)
                try:
                    self._answer(200, job.lines([file]))
                except JobError as e:
                    self._answer(500, [json.dumps({"error": str(e)})])

        def _answer(self, status: int, lines: Sequence[str]) -> None:
            body = "\n".join(lines).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/jsonlines")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """The script's own lines tell."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def main(script: str, model: str, text: str, *places: str) -> None:
    """See above."""
    settings = json.loads(text)
    with tempfile.TemporaryDirectory() as temp:
        source = Path(places[0] if len(places) > 1 else temp)
        os.environ |= settings.get("environment_variables") or {}
        os.environ |= {"AZUREML_MODEL_DIR": model, "AZURE_ML_INPUT_input": str(source)}
        job = Job(Path(script), settings)
        if len(places) > 1:
            score(job, source, Path(places[1]), settings)
        else:
            serve(job, source, int(places[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
