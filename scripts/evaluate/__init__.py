"""Quality by a task's own metric: the served core against transformers' pipeline over the source
model.

evaluation = evaluate(Options(model, data, source=folder))   # load, ask both, score
sections.replace(...report.markdown(evaluation, command))    # docs/quality.md is written by what
measured
"""

from onnxferry.scripts.evaluate.evaluation import Evaluation, Figure, Options, evaluate

__all__ = ["Evaluation", "Figure", "Options", "evaluate"]
