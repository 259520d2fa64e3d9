"""Whether Spark's workers can score, asked of them by a small job, so that a long one does not fail
for want of a library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from onnxferry.scripts.score.clusters.spark_failures import reason
from onnxferry.scripts.score.clusters.spark_shipping import connected
from onnxferry.scripts.score.clusters.spark_worker import Work
from onnxferry.system.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_ASKED = 64  # tasks at most: no cluster need be asked whole
_NEEDED = ("pyarrow", "numpy", "onnxruntime")
_MODULES = {"pillow": "PIL"}  # where a distribution's module has another name


def check_workers(session: SparkSession, work: Work, libraries: Sequence[str]) -> None:
    """Have workers import what scoring takes and open the model. Raises UsageError that names what
    each lacks."""
    from pyspark.sql.functions import udf

    tasks = 1 if connected(session) else min(session.sparkContext.defaultParallelism, _ASKED)
    ask = udf(_fault(work, libraries), "string", useArrow=False)  # a worker may have no pyarrow
    asked = session.range(0, tasks, 1, tasks).select(ask("id").alias("fault"))
    try:
        faults = sorted({row.fault for row in asked.collect()} - {""})
    except Exception as e:
        raise UsageError(f"Spark's workers cannot run Python code here: {reason(e)}") from e
    if faults:
        raise UsageError("\n".join(faults))


def _fault(work: Work, libraries: Sequence[str]) -> Callable[[int], str]:
    """A function that is sent whole, since a worker may have nothing of this project."""
    wanted = {name: _MODULES.get(name, name) for name in (*_NEEDED, *libraries)}
    model, parameters = work.model, dict(work.parameters)

    def fault(task: int) -> str:
        import platform
        import sys
        from importlib import import_module

        def lacks(name: str) -> str:
            try:
                import_module(wanted[name])
            except ImportError as e:
                return f"{name} ({e})"
            return ""

        where = f"the worker on {platform.node()}, Python {sys.executable},"
        if missing := [*filter(None, map(lacks, wanted))]:
            advice = "install that on every node, or name another Python by PYSPARK_PYTHON"
            return f"{where} lacks {', '.join(missing)}: {advice}"
        try:
            import_module("onnxferry.scripts.score.clusters.spark_worker").try_model(
                model, parameters
            )
        except Exception as e:
            return f"{where} cannot score: {type(e).__name__}: {e}"
        return ""

    return fault
