"""DeepSparse's token classification: {"inputs": text or [text, ...], "is_split_into_words"} ->
{"predictions": [[{"entity", "score", "word", "start", "end", "index", "is_grouped"}]]}.

With is_split_into_words the list is the words of one text: of each its first token is told, with
characters counted in the word.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from onnxferry.pipelines.arguments import TEXT, Values, names
from onnxferry.pipelines.outputs import TokenClassificationOutput
from onnxferry.pipelines.tasks.pipeline_task import PipelineTask, Request, as_list, limited
from onnxferry.scoring import validation
from onnxferry.scoring.entities import STRATEGIES
from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.validation import Parameter


def _strategy(value: object, where: str) -> str:
    found = getattr(value, "value", value)  # of an enumeration
    return validation.one_of(*STRATEGIES)(found.strip() if isinstance(found, str) else found, where)


ARGUMENTS = {
    **TEXT,
    "aggregation_strategy": Parameter(_strategy, "none"),
    "ignore_labels": Parameter(names, ["O"]),
}


def _spec(spec: ModelSpec, values: dict[str, Any], folder: Path) -> ModelSpec:
    return limited(spec, values["sequence_length"], values["asked_length"])


def _payload(request: Request, values: Values) -> Any:
    inputs, strategy = validation.member(request, "inputs"), values["aggregation_strategy"]
    parameters = {"aggregation_strategy": strategy, "ignore_labels": values["ignore_labels"]}
    if request.get("is_split_into_words"):
        if strategy != "none":
            what = "'is_split_into_words' goes with aggregation_strategy 'none'"
            raise InvalidValue(f"{what}, not with '{strategy}'")
        inputs = " ".join(_words(inputs))
    return {"inputs": as_list(inputs), "parameters": parameters}


def _words(inputs: Any) -> list[str]:
    if not isinstance(inputs, list | tuple):
        raise InvalidValue("'inputs' must be a list of words with 'is_split_into_words'")
    return validation.strings(list(inputs), "inputs")


def _response(request: Request, answer: Any, values: Values) -> dict[str, Any]:
    if request.get("is_split_into_words"):
        answer = [list(_of_words(_words(request["inputs"]), answer[0]))]
    return {"predictions": [[_entry(entry) for entry in found] for found in answer]}


def _of_words(words: list[str], found: list[Any]) -> Iterator[dict[str, Any]]:
    """What is found at the beginning of a word, with characters counted from there."""
    starts = set(accumulate((len(word) + 1 for word in words), initial=0))
    for entry in (entry for entry in found if entry["start"] in starts):
        yield {**entry, "start": 0, "end": entry["end"] - entry["start"]}


def _entry(found: dict[str, Any]) -> dict[str, Any]:
    grouped = "entity_group" in found
    own = {name: found[name] for name in ("score", "word", "start", "end")}
    entity = found["entity_group" if grouped else "entity"]
    return {"entity": entity, **own, "index": found.get("index"), "is_grouped": grouped}


TASK = PipelineTask(
    name="token_classification",
    aliases=("ner",),
    ours="token-classification",
    inputs=("inputs", "is_split_into_words"),
    arguments=ARGUMENTS,
    output=TokenClassificationOutput,
    spec=_spec,
    payload=_payload,
    response=_response,
)
