"""DeepSparse's text classification: {"sequences": text, [text, ...], or lists of one text or of a
pair} -> {"labels", "scores"}, one entry a text, or a list each with top_k above 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxferry.pipelines.arguments import TEXT, Values
from onnxferry.pipelines.errors import PipelineError
from onnxferry.pipelines.outputs import TextClassificationOutput
from onnxferry.pipelines.tasks.pipeline_task import PipelineTask, Request, as_list, limited
from onnxferry.scoring import validation
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.validation import Parameter

ARGUMENTS = {
    **TEXT,
    "top_k": Parameter(validation.positive, 1),
    "return_all_scores": Parameter(validation.flag, False),
}
MULTI_LABEL = "multi_label_classification"


def _spec(spec: ModelSpec, values: dict[str, Any], folder: Path) -> ModelSpec:
    labels, top_k = len(spec.labels), values["top_k"]
    if values["return_all_scores"]:
        if top_k not in (1, labels):
            what = f"'top_k' is {top_k} and 'return_all_scores' asks for all {labels} labels"
            raise PipelineError(f"{what}; leave one of them out")
        values["top_k"] = labels
    several = labels == 1 or spec.settings.get("problem_type") == MULTI_LABEL
    values["function"] = "sigmoid" if several else "softmax"
    return limited(spec, values["sequence_length"], values["asked_length"])


def _payload(request: Request, values: Values) -> Any:
    items = [_item(item) for item in as_list(validation.member(request, "sequences"))]
    parameters = {"top_k": values["top_k"], "function_to_apply": values["function"]}
    return {"inputs": items, "parameters": parameters}


def _item(item: Any) -> Any:
    texts = as_list(item)
    return texts[0] if len(texts) == 1 else texts


def _response(request: Request, answer: Any, values: Values) -> dict[str, Any]:
    columns = {"labels": "label", "scores": "score"}
    one = values["top_k"] == 1
    return {
        name: [best[0][key] if one else [entry[key] for entry in best] for best in answer]
        for name, key in columns.items()
    }


TASK = PipelineTask(
    name="text_classification",
    aliases=("glue", "sentiment_analysis"),
    ours="text-classification",
    inputs=("sequences",),
    arguments=ARGUMENTS,
    output=TextClassificationOutput,
    spec=_spec,
    payload=_payload,
    response=_response,
)
