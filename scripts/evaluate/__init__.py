"""Quality by a task's own metric: what is served against transformers' pipeline over the source.

found = evaluate(EvaluationOptions(model, data, source=folder))  # load, ask both, score
sections.replace(path, report.title(found), report.markdown(found, command))
"""

from onnxferry.scripts.evaluate.evaluation import Evaluation, EvaluationOptions, evaluate

__all__ = ["Evaluation", "EvaluationOptions", "evaluate"]
