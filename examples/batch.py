"""What `make batch` compares with, below build/batch: the demo's trained text models as their
source library has them, and as MLflow users have them.

    python -m examples.batch

    NAME/source          a Hugging Face folder, the adapter merged
    NAME/tutorial        an MLflow model: transformers behind a loop over rows (mlflow_tutorial.py)
    NAME/transformers    an MLflow model of mlflow.transformers

For questions that needs a transformers before 5, which has no pipeline for them any more. A folder
that is there is left as it is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import transformers
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from peft import PeftModel

from examples import models
from onnxferry.scripts.benchmark.engines import HEADS
from onnxferry.system.console import stage

OUT = Path("build") / "batch"
COLUMNS = {"question-answering": ("question", "context"), "text-classification": ("text",)}
# read from the folder's own by default, in a process that loads the model once more
REQUIREMENTS = ["transformers", "torch"]


def source(example: models.Example, folder: Path) -> None:
    """The base model with the adapter's weights merged into its own."""
    chosen = example.options
    kind = getattr(transformers, f"AutoModel{HEADS[str(chosen.task)]}")
    base = kind.from_pretrained(chosen.source, **_head(chosen))
    PeftModel.from_pretrained(base, str(chosen.adapter)).merge_and_unload().save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(chosen.source).save_pretrained(folder)


def _head(chosen: Any) -> dict[str, Any]:
    """What the base model's configuration does not know of the adapter's head."""
    if not chosen.labels:
        return {}
    names = dict(enumerate(chosen.labels.read_text(encoding="utf-8").split()))
    problem = json.loads(chosen.settings.read_text(encoding="utf-8"))["problem_type"]
    numbers = {name: i for i, name in names.items()}
    return {
        "num_labels": len(names),
        "id2label": names,
        "label2id": numbers,
        "problem_type": problem,
    }


def tutorial(example: models.Example, folder: Path) -> None:
    """As the tutorial logs it, but for the pickle."""
    mlflow.pyfunc.save_model(
        folder,
        python_model=str(models.HERE / "mlflow_tutorial.py"),
        artifacts={"model": str(ready(example, "source"))},
        signature=_signature(example, ["answer"]),
        pip_requirements=REQUIREMENTS,
    )


def by_transformers(example: models.Example, folder: Path) -> None:
    """As MLflow's own flavour has it."""
    task, found = str(example.options.task), str(ready(example, "source"))
    outputs = ["label", "score"] if task == "text-classification" else ["answer"]
    mlflow.transformers.save_model(
        transformers.pipeline(task, model=found, device="cpu"),
        folder,
        signature=_signature(example, outputs),
        pip_requirements=REQUIREMENTS,
    )


def _signature(example: models.Example, outputs: list[str]) -> ModelSignature:
    inputs = [ColSpec("string", name) for name in COLUMNS[str(example.options.task)]]
    kinds = {"score": "double"}
    return ModelSignature(
        Schema(inputs), Schema([ColSpec(kinds.get(name, "string"), name) for name in outputs])
    )


FORMS: dict[str, Callable[[models.Example, Path], None]] = {
    "source": source,
    "tutorial": tutorial,
    "transformers": by_transformers,
}


def ready(example: models.Example, form: str) -> Path:
    """The folder, made now unless it is there. It has its name only when it is whole."""
    folder = OUT / example.name / form
    if not folder.is_dir():
        making = folder.with_name(f"{form}.making")
        shutil.rmtree(making, ignore_errors=True)
        with stage(f"make {folder}"):
            making.parent.mkdir(parents=True, exist_ok=True)
            FORMS[form](example, making)
        making.rename(folder)
    return folder


if __name__ == "__main__":
    for one in models.examples():
        if one.options.task in COLUMNS and one.options.variant == models.TEXTS:
            for each in FORMS:
                ready(one, each)
