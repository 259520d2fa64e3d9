"""What Spark's failures say, without the stacks of two languages."""

from __future__ import annotations

import re

# what a worker's traceback ends by, and Java's begins by, after where it was
_PYTHON = re.compile(r"^(?!java|org\.|py4j|pyspark)[\w.]+: \S.*", re.MULTILINE)
_JAVA = re.compile(r"^(?:Caused by: |: )(.*)", re.MULTILINE)
_LOST = re.compile(r"^.*Lost task [^:]*: ")


def reason(error: BaseException) -> str:
    """What a failure in Spark came of: the error of a worker's Python, where there is one, or the
    first cause in Java, without stacks."""
    text = str(error).strip()
    if found := _PYTHON.findall(text.partition("Traceback (most recent call last):")[2]):
        return str(found[0])
    causes = _JAVA.findall(text) or text.splitlines() or [type(error).__name__]
    return _LOST.sub("", str(causes[0]))
