"""DeepSparse's zero-shot text classification: {"sequences": text or [text, ...], "labels",
"hypothesis_template", "multi_class"} -> {"sequences", "labels", "scores"}, best first.

DeepSparse takes output 0 for entailment and 2 for contradiction unless `model_config` says
otherwise, also where the model's labels say otherwise; here the labels count where they are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxferry.pipelines.arguments import TEXT, Values
from onnxferry.pipelines.errors import PipelineError, nearest
from onnxferry.pipelines.outputs import ZeroShotTextClassificationOutput
from onnxferry.pipelines.tasks.pipeline_task import PipelineTask, Request, limited
from onnxferry.scoring import validation
from onnxferry.scoring.errors import InvalidValue, MissingField
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.validation import Parameter

TEMPLATE = "This text is about {}"
PLACES = {"entailment_index": 0, "contradiction_index": 2}  # of an MNLI model's outputs


def _template(value: object, where: str) -> str:
    # imported here, as below: a host of pictures has no tokenizers
    from onnxferry.scoring.tasks.zero_shot_classification import read_template

    read_template(value, where)
    return validation.text(value, where)


def _read_labels(value: object, where: str) -> Any:
    from onnxferry.scoring.tasks.zero_shot_classification import read_labels

    return read_labels(value, where)


CONFIG = {
    "hypothesis_template": Parameter(_template, TEMPLATE),
    **{name: Parameter(validation.natural) for name in PLACES},
    "multi_class": Parameter(validation.flag, False),
}


def _config(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        dump = getattr(value, "model_dump", None)  # of a pydantic model
        value = dump() if dump else value
    if not isinstance(value, Mapping):
        raise PipelineError(f"'{where}' must be a dict, got {validation.kind(value)}")
    if unknown := [str(name) for name in value if name not in CONFIG]:
        raise PipelineError(f"'{where}' has no key '{unknown[0]}'; {nearest(unknown[0], CONFIG)}")
    return {name: entry.take(value, name, f"{where}.") for name, entry in CONFIG.items()}


ARGUMENTS = {
    **TEXT,
    "model_scheme": Parameter(validation.one_of("mnli"), "mnli"),
    "model_config": Parameter(_config, _config({}, "model_config")),
    "labels": Parameter(_read_labels),
}


def _spec(spec: ModelSpec, values: dict[str, Any], folder: Path) -> ModelSpec:
    labels, contradiction = _labels(spec.labels, values["model_config"])
    told = {} if contradiction is None else {"contradiction_index": contradiction}
    lengths = values["sequence_length"]
    return limited(replace(spec, labels=labels), lengths, values["asked_length"], **told)


def _labels(
    names: tuple[str, ...], config: Mapping[str, Any]
) -> tuple[tuple[str, ...], int | None]:
    """The labels, of which one begins with "entail", and the place of contradiction."""
    found = {kind: _place(names, kind) for kind in PLACES}
    asked = {kind: config[kind] for kind in PLACES if config[kind] is not None}
    places = {**(PLACES if found["entailment_index"] is None else found), **asked}
    entailment, contradiction = places["entailment_index"], places["contradiction_index"]
    if entailment == contradiction:
        raise PipelineError("'entailment_index' must differ from 'contradiction_index'")
    if not 0 <= entailment < len(names):
        raise PipelineError(
            f"'entailment_index' is {entailment}; the model has {len(names)} labels"
        )
    kept = [f"label {i}" if n.lower().startswith("entail") else n for i, n in enumerate(names)]
    kept[entailment] = "entailment"
    return tuple(kept), contradiction if (contradiction or 0) < len(names) else None


def _place(names: tuple[str, ...], kind: str) -> int | None:
    beginning = kind[:6]  # "entail", "contra"
    return next((i for i, n in enumerate(names) if n.lower().startswith(beginning)), None)


def _payload(request: Request, values: Values) -> Any:
    config, static = values["model_config"], values["labels"]
    dynamic = request.get("labels")
    if static is not None and dynamic is not None:
        raise InvalidValue("'labels' came, and the pipeline was made with labels; give one of them")
    if static is None and dynamic is None:
        raise MissingField("'labels' is missing; give it here or when the pipeline is made")
    sequences = validation.member(request, "sequences")
    template, several = request.get("hypothesis_template"), request.get("multi_class")
    parameters = {
        "candidate_labels": list(static) if dynamic is None else dynamic,
        "hypothesis_template": config["hypothesis_template"] if template is None else template,
        "multi_label": config["multi_class"] if several is None else several,
    }
    inputs = list(sequences) if isinstance(sequences, tuple) else sequences
    return {"inputs": inputs, "parameters": parameters}


def _response(request: Request, answer: Any, values: Values) -> dict[str, Any]:
    if not isinstance(answer, list):
        return {name: answer[key] for name, key in _COLUMNS.items()}
    return {name: [one[key] for one in answer] for name, key in _COLUMNS.items()}


_COLUMNS = {"sequences": "sequence", "labels": "labels", "scores": "scores"}
TASK = PipelineTask(
    name="zero_shot_text_classification",
    ours="zero-shot-classification",
    inputs=("sequences", "labels", "hypothesis_template", "multi_class"),
    arguments=ARGUMENTS,
    output=ZeroShotTextClassificationOutput,
    spec=_spec,
    payload=_payload,
    response=_response,
)
