"""The reference: transformers' own pipeline over the source model. It is loaded here as
transformers' and peft's own documentation says, and not by scripts.prepare, whose work it
judges."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.system.errors import EvaluationError, UsageError
from onnxferry.system.library_output import silence_libraries

CLASSES = {
    "question-answering": "AutoModelForQuestionAnswering",
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
}
LOCAL = {"local_files_only": True, "trust_remote_code": False}


class Pipeline:
    """The pipeline of `spec`'s task over the folder's model, in float32, with `adapter` merged into
    it."""

    def __init__(self, folder: Path, adapter: Path | None, spec: ModelSpec) -> None:
        """Raises UsageError when transformers is not installed, EvaluationError when it cannot load
        the model."""
        try:
            with silence_libraries():
                import transformers
        except ImportError as e:
            raise UsageError(
                f"{e}. --source needs the extra 'export': pip install 'onnxferry[export]'"
            ) from e
        try:
            with silence_libraries():
                model = getattr(transformers, CLASSES[spec.task]).from_pretrained(
                    folder, use_safetensors=True, **LOCAL, **(_head(spec) if adapter else {})
                )
                model = _merged(model, adapter) if adapter else model
                tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **LOCAL)
                self._pipeline = transformers.pipeline(
                    spec.task, model=model.float().eval(), tokenizer=tokenizer, device="cpu"
                )
        except (OSError, ValueError, RuntimeError, KeyError) as e:
            raise EvaluationError(
                f"--source {folder}: transformers cannot load it for {spec.task}: {e}"
            ) from e

    def answers(self, inputs: Sequence[Any], parameters: Mapping[str, Any]) -> list[Any]:
        """One answer for each of `inputs`, asked one at a time as the pipeline does by default."""
        with silence_libraries():
            found = self._pipeline(list(inputs), **parameters)
        return found if len(inputs) > 1 or isinstance(found, list) else [found]


def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("transformers", "torch")}


def _head(spec: ModelSpec) -> dict[str, Any]:
    """What the base model's configuration cannot know of a head that the adapter brings."""
    if not spec.labels:
        return {}
    names = dict(enumerate(spec.labels))
    head = {
        "num_labels": len(names),
        "id2label": names,
        "label2id": {name: i for i, name in names.items()},
    }
    return head | (
        {"problem_type": spec.settings["problem_type"]} if spec.settings.get("problem_type") else {}
    )


def _merged(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
