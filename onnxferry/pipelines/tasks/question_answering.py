"""DeepSparse's question answering: {"question", "context"} -> {"score", "answer", "start", "end"}.

As there, a score is the sum of two logits and an answer is a span of tokens, not widened to words.
All spans within a context are compared, where DeepSparse compares those of the n_best_size best
starts and ends and fails when none of them fits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxferry.pipelines.arguments import TEXT, Values
from onnxferry.pipelines.outputs import QuestionAnsweringOutput
from onnxferry.pipelines.tasks.pipeline_task import PipelineTask, Request, limited
from onnxferry.scoring import validation
from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.validation import Parameter

ARGUMENTS = {
    **TEXT,
    "doc_stride": Parameter(validation.natural, 64),
    "max_question_length": Parameter(validation.positive),  # 64 there, where it is not looked at
    "max_answer_length": Parameter(validation.positive, 15),
    "n_best_size": Parameter(validation.positive, 20),
    "version_2_with_negative": Parameter(validation.flag, False),
}


def _spec(spec: ModelSpec, values: dict[str, Any], folder: Path) -> ModelSpec:
    lengths = values["sequence_length"]
    settings = {"max_seq_len": lengths[-1], "doc_stride": values["doc_stride"]}
    return limited(spec, lengths, values["asked_length"], **settings)


def _payload(request: Request, values: Values) -> Any:
    inputs = {name: request[name] for name in ("question", "context") if name in request}
    parameters = {
        "max_answer_len": values["max_answer_length"],
        "max_question_len": values["max_question_length"],
        "handle_impossible_answer": values["version_2_with_negative"],
        "align_to_words": False,
        "score": "logit_sum",
        "top_k": 1,
    }
    if isinstance(inputs.get("question"), list):
        raise InvalidValue("'question' must be a string; ask one question a call")
    return {**inputs, "parameters": parameters}


def _response(request: Request, answer: Any, values: Values) -> dict[str, Any]:
    return {name: answer[name] for name in ("score", "answer", "start", "end")}


TASK = PipelineTask(
    name="question_answering",
    aliases=("qa",),
    ours="question-answering",
    inputs=("question", "context", "id"),
    arguments=ARGUMENTS,
    output=QuestionAnsweringOutput,
    spec=_spec,
    payload=_payload,
    response=_response,
)
