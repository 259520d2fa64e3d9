"""What the user asked for, checked before anything heavy is imported. Errors name the flag."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxferry.scoring import cpu
from onnxferry.scoring.manifest import SPEC_FILE
from onnxferry.scoring.tasks import TASKS
from onnxferry.scripts.datasets import READERS
from onnxferry.scripts.prepare import hub_id
from onnxferry.system.errors import UsageError

HUGGINGFACE, MODULE, ONNX, HUB = "huggingface", "module", "onnx", "hub"
AUTO, FP32, INT8 = "auto", "fp32", "int8"
PRECISIONS = (AUTO, FP32, INT8)
ANY, HERE = "any", "here"  # every kind of CPU; this machine's
CPUS = (ANY, HERE, *cpu.KINDS)
OPSETS = (17, 18)
TORCH, OPTIMUM = "torch", "optimum"
EXPORTERS = (TORCH, OPTIMUM)
_OLDER = {"cpu": (AUTO,)}  # names of before that are still taken: of HERE
_PATHS: Sequence[tuple[str, Callable[[Path], bool], Sequence[str]]] = (
    ("folder", Path.is_dir, ("adapter", "tokenizer")),
    ("file", Path.is_file, ("labels", "settings")),
    ("file or folder", Path.exists, ("inputs", "data", "golden")),
)
_MODULE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Options:
    """The flags of prepare, as --help explains them. None: the default of task or precision."""

    source: str
    out: Path
    task: str | None = None
    adapter: Path | None = None
    tokenizer: Path | None = None
    labels: Path | None = None
    settings: Path | None = None
    name: str | None = None
    precision: str = AUTO
    variant: str | None = None
    cpu: str = ANY
    data: Path | None = None
    limit: int | None = None
    threshold: float = 0.5
    max_metric_drop: float = 0.01
    inputs: Path | None = None
    golden: Path | None = None
    golden_tolerance: float | None = None
    tolerance: float | None = None
    min_agreement: float = 0.9
    opset: int | None = None
    exporter: str = TORCH
    file: str | None = None
    dry_run: bool = False
    test: bool = False
    no_cache: bool = False
    folder: Path | None = None  # no flag: the model folder that an .onnx source was found in

    @property
    def kind(self) -> str:
        """HUGGINGFACE, MODULE, ONNX or HUB, by the form of `source`; what is here comes first.
        Raises UsageError for another."""
        path = Path(self.source)
        if path.is_dir():
            return HUGGINGFACE
        if path.suffix == ".onnx" and path.is_file():
            return ONNX
        if _MODULE.fullmatch(self.source):
            return MODULE
        if hub_id.parse(self.source):
            return HUB
        give = "Give a Hugging Face model folder, module:factory, or an .onnx file"
        hub = "or a model of the hub: org/name, org/name@revision, hf://name"
        if hub_id.parse(f"hf://{self.source}"):
            hub += f". To ask the hub for this name: hf://{self.source}"
        raise UsageError(f"SOURCE {self.source}: no such folder or .onnx file. {give}, {hub}")

    @property
    def model_name(self) -> str:
        """By default the last part of `out`."""
        return self.name or self.out.resolve().name


def check(options: Options) -> None:
    """Raise UsageError for what is known to be wrong without loading the model."""
    kind = options.kind
    _check_choices(options)
    _check_combination(options, kind)
    _check_paths(options)
    _check_out(options.out)
    form = "use letters, digits, '.', '_' and '-', starting with a letter or digit"
    named = _NAME.fullmatch(options.model_name)
    _refuse(not named, f"--name {options.model_name!r}: {form} (default: the last part of --out)")


def _refuse(wrong: object, message: str) -> None:
    if wrong:
        raise UsageError(message)


def _check_choices(options: Options) -> None:
    chosen = {"task": sorted(TASKS), "precision": PRECISIONS, "cpu": CPUS, "opset": OPSETS}
    chosen["exporter"] = EXPORTERS
    for flag, choices in chosen.items():
        value = getattr(options, flag)
        wrong = value is not None and value not in (*choices, *_OLDER.get(flag, ()))
        _refuse(wrong, f"--{flag} {value}: choose one of {', '.join(map(str, choices))}")
    for name in ("tolerance", "golden_tolerance"):
        flag, tolerance = name.replace("_", "-"), getattr(options, name)
        low = tolerance is not None and not tolerance > 0
        _refuse(low, f"--{flag} {tolerance}: must be above 0")
    for name in ("min_agreement", "max_metric_drop", "threshold"):
        flag, share = name.replace("_", "-"), getattr(options, name)
        _refuse(not 0 <= share <= 1, f"--{flag} {share}: must be between 0 and 1")


def _check_combination(options: Options, kind: str) -> None:
    source, task = options.source, options.task
    both = "--dry-run and --test are two ways to try: give one of them"
    _refuse(options.dry_run and options.test, both)
    other, tensors = kind not in (HUGGINGFACE, HUB), task == "tensors"
    folder = f"--adapter needs a Hugging Face model folder as SOURCE, got {source}"
    _refuse(other and options.adapter, folder)
    one = "--file chooses in a folder or in a model of the hub"
    _refuse(other and options.file, f"{one}; {source} is one of its own")
    tasks = ", ".join(sorted(TASKS))
    told = task or options.folder
    _refuse(other and not told, f"--task is needed for {source}: one of {tasks}")
    files = "an .onnx file or module:factory as SOURCE; a model folder has a task"
    _refuse(tensors and not other and not options.file, f"--task tensors takes {files}")
    golden = 'a request such as {"inputs": {"x": [[0.5, 1.0]]}}, with what the module takes'
    nothing = tensors and kind == MODULE and not options.golden
    _refuse(nothing, f"--golden FILE is needed: {golden}")
    _refuse(tensors and options.tokenizer, "--tokenizer: tensors has no texts; leave it out")
    unknown = options.data and task and task not in READERS
    _refuse(unknown, f"--data: there is no metric for {task}; give --inputs in its place")
    kept = "--opset is for exports; an .onnx file keeps the opset that it has"
    _refuse(kind == ONNX and options.opset, kept)


def _check_paths(options: Options) -> None:
    for what, exists, flags in _PATHS:
        for flag in flags:
            path = getattr(options, flag)
            _refuse(path and not exists(path), f"--{flag} {path}: no such {what}")


def _check_out(out: Path) -> None:
    taken = out.is_symlink() or (out.exists() and not out.is_dir())
    wanted = "give the path of a new folder or of a model directory"
    _refuse(taken, f"--out {out}: is not a folder; {wanted}")
    foreign = out.is_dir() and any(out.iterdir()) and not (out / SPEC_FILE).is_file()
    why = f"exists, is not empty and holds no {SPEC_FILE}"
    _refuse(foreign, f"--out {out}: {why}, so it will not be replaced")
