"""The entry script of AzureML's batch jobs: init() once a process, run() once a mini-batch of
files, which gives a row for each of their rows.

What the platform forces: it counts the elements that run() returns against the files that it gave,
and takes fewer for files that failed. So each file has one row at least. A row that is refused has
its error, since one that is raised would cost all files of the mini-batch theirs. Elements are
appended to one file, a line each, in no promised order: each says which row of which file it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# libraries beside this file, in a package that brings them, come before the image's own
sys.path.insert(0, str(Path(__file__).parent))

from onnxferry.scoring import Scorer, load, log_requests
from onnxferry.scoring.errors import InvalidBody
from onnxferry.scoring.rows.row_files import ROWS, ROWS_BYTES, lines

# of the variables that may say where an input is mounted
INPUTS = ("AZURE_ML_INPUT_", "AZUREML_DATAREFERENCE_", "AZUREML_BI_INPUT")
_scorer: Scorer | None = None


def init() -> None:
    """Load the model from AZUREML_MODEL_DIR or, by how it was registered, a folder within."""
    global _scorer
    log_requests()
    root = Path(os.environ["AZUREML_MODEL_DIR"])
    _scorer = load(next((p.parent for p in sorted(root.rglob("model_spec.json"))), root))


def run(mini_batch: list[str]) -> list[str]:
    """Score the rows of each file."""
    if _scorer is None:
        raise RuntimeError("run() was called before init()")
    scorer, names = _scorer, map(below_input, mini_batch)
    files = zip(map(Path, mini_batch), names, strict=True)
    return [line for path, name in files for line in lines(scorer, path, name, tables)]


def below_input(path: str) -> str:
    """A file's path below the job's input; as it is where neither the job's variables nor its
    arguments, `--input... PATH`, say where that is mounted."""
    told = [value for name, value in os.environ.items() if name.startswith(INPUTS)]
    told += [word.rpartition("=")[2] for word in sys.argv[1:]]
    folders = [f"{folder.rstrip('/')}/" for folder in told if folder.startswith("/")]
    return path[max((len(f) for f in folders if len(f) > 1 and path.startswith(f)), default=0) :]


def tables(path: Path) -> Iterator[Mapping[str, list[Any]]]:
    """The rows of a Parquet file as columns, a few at a time, however large its row groups are.
    pyarrow is in the environment of batch jobs alone. Raises InvalidBody, and OSError where the
    file cannot be opened."""
    from pyarrow import parquet

    with path.open("rb") as file:
        try:
            # without pre_buffer a row group is not read as a whole
            source = parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
            about = source.metadata
            groups = [about.row_group(i) for i in range(about.num_row_groups)]
            largest = max((g.total_byte_size / max(g.num_rows, 1) for g in groups), default=0)
            rows = int(min(ROWS, max(1, ROWS_BYTES / max(largest, 1))))
            for batch in source.iter_batches(rows, use_threads=False):
                yield batch.to_pydict()
        except (OSError, ValueError, TypeError, NotImplementedError) as e:  # as Arrow's errors are
            why = str(e).partition("\n")[0]
            raise InvalidBody(f"the file is not readable as Parquet: {why}") from e
