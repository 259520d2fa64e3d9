"""What Spark's failures say, without the stacks of two languages."""

from __future__ import annotations

import re

from onnxferry.system.errors import BatchScoringError, FerryError, UsageError

# what a worker's traceback ends by, and Java's begins by, after where it was
_PYTHON = re.compile(r"^(?!java|org\.|py4j|pyspark)[\w.]+: \S.*", re.MULTILINE)
_JAVA = re.compile(r"^(?:Caused by: |: )(.*)", re.MULTILINE)
_LOST = re.compile(r"^.*Lost task [^:]*: ")
_NANOS = "the input has timestamps in nanoseconds, which Spark does not read"
_AS_LONG = "have whole numbers of them by --conf spark.sql.legacy.parquet.nanosAsLong=true"


def failure(error: BaseException) -> FerryError:
    """What a failure in Spark is to the user."""
    text = str(error)
    if "PARQUET_TYPE_ILLEGAL" in text and "NANOS" in text:
        return UsageError(f"{_NANOS}; {_AS_LONG}")
    return BatchScoringError(f"Spark could not score the input: {reason(error)}")


def reason(error: BaseException) -> str:
    """What a failure in Spark came of: the error of a worker's Python, where there is one, or the
    first cause in Java, without stacks."""
    text = str(error).strip()
    if found := _PYTHON.findall(text.partition("Traceback (most recent call last):")[2]):
        return str(found[0])
    causes = _JAVA.findall(text) or text.splitlines() or [type(error).__name__]
    return _LOST.sub("", str(causes[0]))
