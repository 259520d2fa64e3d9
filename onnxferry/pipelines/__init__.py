"""DeepSparse's interface over the scoring core, for those who come from there, and what the local
server needs to serve DeepSparse's configurations and clients.

pipeline = Pipeline.create("question_answering", model_path="folder", sequence_length=384)
pipeline(question="Who sings?", context="Dolly sings.").answer
"""

from __future__ import annotations

from onnxferry.pipelines.context import Context, Scheduler
from onnxferry.pipelines.engine import Engine, MultiModelEngine
from onnxferry.pipelines.errors import InvalidInput, PipelineError
from onnxferry.pipelines.pipeline import Pipeline, PipelineConfig

__all__ = [
    "Context",
    "Engine",
    "InvalidInput",
    "MultiModelEngine",
    "Pipeline",
    "PipelineConfig",
    "PipelineError",
    "Scheduler",
]
