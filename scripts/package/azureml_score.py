"""`onnxferry score` as a component of AzureML's pipelines, which stands alone: for `az ml component
create -f score-component.yml`, or as `component: ./score-component.yml` in a pipeline's YAML. It
takes any model directory, as a registered model, whichever package that is in.
"""

from __future__ import annotations

from typing import Any

from onnxferry.scripts.package import conda, wheels
from onnxferry.scripts.package.layout import Entry, score_command
from onnxferry.scripts.package.model import FETCH

_SCHEMA = "https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json"
COMPONENT, ENVIRONMENT, CODE = "score-component.yml", "score-env.yml", "score"
LIBRARIES = ("tokenizers", "pillow", FETCH, "click", "filelock", "pyarrow", "rich")
# by how a model was registered its folder is what is mounted, or lies within
_MODEL = '"$(dirname "$(find -L \'${{inputs.model}}\' -name model_spec.json | head -n 1)")"'
_COMMAND = (
    "python -m onnxferry.scripts.score '${{inputs.data}}'"
    f" '${{{{outputs.answers}}}}/answers.${{{{inputs.format}}}}' --model {_MODEL}"
    " --processes ${{inputs.processes}} $[[--set '${{inputs.set}}']]"
)


def entries(image: str, python: str) -> list[Entry]:
    """The component, its environment on a base `image`, and its code."""
    declared = {"conda_file": f"./{ENVIRONMENT}", "image": image}
    return [
        Entry(COMPONENT, conda.to_yaml(component(declared))),
        Entry(ENVIRONMENT, conda.to_yaml(environment(python))),
        *score_command(f"{CODE}/"),
    ]


def environment(python: str) -> dict[str, Any]:
    """What score-env.yml says."""
    return conda.environment([*wheels.SCORING, *LIBRARIES], python)


def component(environment: dict[str, str]) -> dict[str, Any]:
    """What score-component.yml says."""
    return {
        "$schema": _SCHEMA,
        "type": "command",
        "name": "onnxferry_score",
        "display_name": "Score rows with an ONNX model",
        "description": "onnxferry score: the columns of the data, those of the answers, and error",
        "inputs": {
            "data": _input(
                "uri_folder", "Parquet, CSV, JSON Lines, or pictures: files of one kind"
            ),
            "model": _input("custom_model", "A model directory of onnxferry"),
            "format": _input(
                "string", "Of the answers", "parquet", enum=["parquet", "csv", "jsonl"]
            ),
            "processes": _input("integer", "That score, each on one CPU; 1: one on all", 1),
            "set": {**_input("string", "A parameter of a request, like top_k=2"), "optional": True},
        },
        "outputs": {"answers": {"type": "uri_folder", "description": "answers.FORMAT"}},
        "code": f"./{CODE}",
        "environment": environment,
        "command": _COMMAND,
    }


def _input(of: str, description: str, default: Any = None, **more: Any) -> dict[str, Any]:
    said = {} if default is None else {"default": default}
    return {"type": of, "description": description, **said, **more}
