"""The reference: transformers' own pipeline over the source model.

It is loaded as transformers' and peft's documentation says, without `scripts.prepare`, whose work
it judges.
"""

from __future__ import annotations

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


class ReferencePipeline:
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
                self._pipeline = _load(transformers, folder, adapter, spec)
        except (OSError, ValueError, RuntimeError, KeyError) as e:
            raise EvaluationError(
                f"--source {folder}: transformers cannot load it for {spec.task}: {e}"
            ) from e

    def answers(self, inputs: Sequence[Any], parameters: Mapping[str, Any]) -> list[Any]:
        """One answer for each of `inputs`, asked one at a time as the pipeline does by default."""
        with silence_libraries():
            found = self._pipeline(list(inputs), **parameters)
        return found if len(inputs) > 1 or isinstance(found, list) else [found]


def _load(transformers: Any, folder: Path, adapter: Path | None, spec: ModelSpec) -> Any:
    head = _head(spec) if adapter else {}
    loader = getattr(transformers, CLASSES[spec.task])
    model = loader.from_pretrained(folder, use_safetensors=True, **LOCAL, **head)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **LOCAL)
    model = model.float().eval()
    return transformers.pipeline(spec.task, model=model, tokenizer=tokenizer, device="cpu")


def _head(spec: ModelSpec) -> dict[str, Any]:
    """What the base model's configuration cannot know of a head that the adapter brings."""
    if not spec.labels:
        return {}
    names = dict(enumerate(spec.labels))
    head = {"num_labels": len(names), "id2label": names}
    head["label2id"] = {name: i for i, name in names.items()}
    kind = spec.settings.get("problem_type")
    return {**head, "problem_type": kind} if kind else head
