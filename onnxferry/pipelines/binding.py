"""One model bound to one of DeepSparse's tasks with its arguments: what a pipeline and the server's
routes of DeepSparse share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxferry.pipelines import arguments
from onnxferry.pipelines import context as contexts
from onnxferry.pipelines.errors import PipelineError
from onnxferry.pipelines.folder import spec_of_folder
from onnxferry.pipelines.tasks import find
from onnxferry.pipelines.tasks.pipeline_task import PipelineTask, Request
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.manifest import SPEC_FILE, ModelSpec
from onnxferry.scoring.scorer import located
from onnxferry.scoring.validation import mapping


@dataclass(frozen=True)
class Binding:
    """`path`: an .onnx file or its folder, for scoring.load(path, spec=spec). `values`: what the
    arguments say, with the defaults. `notes`: a sentence for each that means nothing here."""

    task: PipelineTask
    path: Path
    spec: ModelSpec
    values: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def payload(self, request: Any) -> Any:
        """What the scorer's task is asked for a request in DeepSparse's form. Raises
        ScoringError."""
        return self.task.payload(mapping(request, "the body"), self.values)

    def response(self, request: Request, answer: Any) -> dict[str, Any]:
        """DeepSparse's answer, as JSON data, of the task's."""
        return self.task.response(request, answer, self.values)


def bind(task: str, path: str | Path, given: Mapping[str, Any]) -> Binding:
    """Bind a model to a task of DeepSparse (a name or alias). `given` are Pipeline.create's
    arguments. Raises PipelineError, a ModelError, that names what cannot be used."""
    found = find(task)
    values = arguments.read(found.name, given, found.arguments)
    values["asked_length"] = given.get("sequence_length") is not None
    where = _local(path)
    spec, values["unnamed"] = _spec(found, where, values)
    folder, _ = located(where)
    spec = found.spec(spec, values, folder)
    bound = replace(spec, task=found.ours, engine=_engine(spec.engine, values))
    return Binding(found, where, bound, values, tuple(arguments.ignored(given)))


def _local(path: str | Path) -> Path:
    if str(path).startswith(("zoo:", "hf:")):
        what = "models are not downloaded, and SparseZoo has ended"
        raise PipelineError(f"model_path {path}: {what}; give a folder or an .onnx file")
    found = Path(path)
    if not found.exists():
        raise PipelineError(f"model_path {path}: no such folder or file")
    return found


def _spec(task: PipelineTask, path: Path, values: Mapping[str, Any]) -> tuple[ModelSpec, bool]:
    """The model directory's spec, or that of a DeepSparse folder, whose pictures' labels are
    numbers."""
    folder, _ = located(path)
    if not (folder / SPEC_FILE).is_file():
        return spec_of_folder(path, task.ours, values.get("image_size")), True
    spec = ModelSpec.read(folder)
    if spec.task not in (task.ours, *_ALIKE.get(task.ours, ())):
        what = f"the model was prepared for {spec.task}, and {task.name} needs {task.ours}"
        raise PipelineError(f"{folder}: {what}; prepare it with --task {task.ours}")
    return spec, False


_ALIKE = {  # tasks of ours whose models answer another
    "feature-extraction": ("sentence-similarity",),
    "zero-shot-classification": ("text-classification",),
    "text-classification": ("zero-shot-classification",),
}


def _engine(own: EngineOptions, values: Mapping[str, Any]) -> EngineOptions:
    """The model's own options, with what the arguments say of cores and streams."""
    context = values["context"]
    told = [values[name] for name in ("num_cores", "num_streams", "scheduler")]
    if context is None and not any(told):
        return own
    new = contexts.options(*told) if context is None else context.engine_options
    return replace(own, threads=new.threads, parallel_runs=new.parallel_runs)
