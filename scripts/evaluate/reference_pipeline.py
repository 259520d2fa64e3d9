"""The reference: transformers' own pipeline over the source model, loaded as its and peft's
documentation say, without `scripts.prepare`, whose work it judges."""

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
GONE = {"question-answering": 5}  # the major version from which there is no pipeline
LOCAL = {"local_files_only": True, "trust_remote_code": False}


class ReferencePipeline:
    """The pipeline of `spec`'s task over the folder's model in float32, with `adapter` merged."""

    def __init__(self, folder: Path, adapter: Path | None, spec: ModelSpec) -> None:
        """Load it. Raises UsageError without transformers, EvaluationError where it fails."""
        try:
            with silence_libraries():
                import transformers

                _check(transformers.__version__, spec.task)
                self._pipeline = _load(transformers, folder, adapter, spec)
        except ImportError as e:
            needs = "--source needs the extra 'export': pip install 'onnxferry[export]'"
            raise UsageError(f"{e}. {needs}") from e
        except (OSError, ValueError, RuntimeError, KeyError) as e:
            reason = f"transformers cannot load it for {spec.task}: {e}"
            raise EvaluationError(f"--source {folder}: {reason}") from e

    def answers(self, inputs: Sequence[Any], parameters: Mapping[str, Any]) -> list[Any]:
        """An answer to each of `inputs`, asked one at a time: the pipeline's default."""
        with silence_libraries():
            found = self._pipeline(list(inputs), **parameters)
        return found if isinstance(found, list) else [found]


def _check(version: str, task: str) -> None:
    """Raise UsageError where transformers no longer has the task's pipeline."""
    if task in GONE and int(version.split(".", maxsplit=1)[0]) >= GONE[task]:
        advice = f"install one before {GONE[task]} for it, or leave --source out"
        raise UsageError(f"--source: transformers {version} has no {task} pipeline; {advice}")


def _load(transformers: Any, folder: Path, adapter: Path | None, spec: ModelSpec) -> Any:
    head = _head(spec) if adapter else {}
    loader = getattr(transformers, CLASSES[spec.task])
    model = loader.from_pretrained(folder, weights_only=True, **LOCAL, **head)
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
    head: dict[str, Any] = {"num_labels": len(names), "id2label": names}
    head["label2id"] = {name: i for i, name in names.items()}
    if kind := spec.settings.get("problem_type"):
        head["problem_type"] = kind
    return head
