"""Quality by a task's own metric: what is served against transformers' pipeline over the source."""

from __future__ import annotations

from onnxferry.scripts.evaluate.evaluation import Evaluation, EvaluationOptions, evaluate

__all__ = ["Evaluation", "EvaluationOptions", "evaluate"]
