"""The tasks of DeepSparse 1.8: those that are answered here, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping

from onnxferry.pipelines.errors import PipelineError, nearest
from onnxferry.pipelines.tasks import (
    embedding_extraction,
    image_classification,
    question_answering,
    text_classification,
    token_classification,
    zero_shot,
)
from onnxferry.pipelines.tasks.pipeline_task import PipelineTask

TASKS: Mapping[str, PipelineTask] = {
    task.name: task
    for task in (
        question_answering.TASK,
        text_classification.TASK,
        token_classification.TASK,
        zero_shot.TASK,
        embedding_extraction.TASK,
        image_classification.TASK,
    )
}
NAMES: Mapping[str, PipelineTask] = {
    name: task for task in TASKS.values() for name in (task.name, *task.aliases)
}
_GENERATES = "text is not generated here"
_DETECTS = "its graphs' boxes are not read here; detectors of transformers (DETR, YOLOS) are, by"
_RETRIEVES = "DeepSparse 1.8 refuses it too; transformers_embedding_extraction gives vectors"
GONE: Mapping[str, str] = {  # tasks of DeepSparse that are not answered here -> why
    **dict.fromkeys(
        ("text_generation", "code_generation", "codegen", "code_gen", "chat", "chatbot"), _GENERATES
    ),
    **dict.fromkeys(("opt", "mpt", "llama", "bloom"), _GENERATES),
    **dict.fromkeys(("yolo", "yolov8"), f"{_DETECTS} onnxferry prepare --task object-detection"),
    "yolact": "masks of objects are not made here",
    "open_pif_paf": "poses are not read here",
    "information_retrieval_haystack": _RETRIEVES,
    "haystack": _RETRIEVES,
    "custom": "call your functions around Engine, or give the model a task of your own",
}


def find(name: str) -> PipelineTask:
    """The task of a name or alias, as DeepSparse reads them: in any case, with hyphens, spaces or
    underscores. Raises PipelineError with the nearest known one, or why it is not answered."""
    plain = "_".join(str(name).lower().replace("-", "_").split())
    if plain in NAMES:
        return NAMES[plain]
    if ours := next(
        (task for task in TASKS.values() if task.ours.replace("-", "_") == plain), None
    ):
        return ours
    if plain.startswith(("custom", "import:")):
        plain = "custom"
    if plain in GONE:
        raise PipelineError(f"the task '{name}' of DeepSparse is not answered: {GONE[plain]}")
    raise PipelineError(f"unknown task '{name}'; {nearest(plain, NAMES)}")
