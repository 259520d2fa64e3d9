"""What the user asked for, checked before anything heavy is imported. Every error names the
flag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from onnxferry.scoring.manifest import SPEC_FILE
from onnxferry.scoring.tasks import TASKS
from onnxferry.scripts.datasets import READERS
from onnxferry.scripts.prepare.selection import cpu_target
from onnxferry.system.errors import UsageError

HUGGINGFACE, MODULE, ONNX = "huggingface", "module", "onnx"
AUTO, FP32, INT8 = "auto", "fp32", "int8"
PRECISIONS = (AUTO, FP32, INT8)
OPSETS = (17, 18)
_MODULE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Options:
    """The flags of `python -m scripts.prepare`; `source` is a folder, `module:factory` or an .onnx
    file.

    `precision` "auto" tries all variants, others those of their kind; `variant` only one, by its
    name. `data` is an evaluation set, of which `limit` items (None: 500 or 1000, by task) are
    asked, evenly over it; `threshold` is the least score of a label that is given, for models with
    several labels a text. `max_loss` bounds the loss of a metric on it, as a share of the source
    model's; without `data`, the share of answers that change. `tolerance` bounds the absolute
    difference of any raw output (None: 1e-3 for fp32, unbounded for int8); `min_agreement` the
    share of inputs whose final answer stays the same. `cpu` is the kind that it is made for.
    """

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
    cpu: str = cpu_target.AUTO
    data: Path | None = None
    limit: int | None = None
    threshold: float = 0.5
    max_loss: float = 0.01
    inputs: Path | None = None
    golden: Path | None = None
    tolerance: float | None = None
    min_agreement: float = 0.9
    opset: int | None = None

    @property
    def kind(self) -> str:
        """HUGGINGFACE, MODULE or ONNX, by the form of `source`; raises UsageError when it is none
        of them."""
        path = Path(self.source)
        if path.is_dir():
            return HUGGINGFACE
        if path.suffix == ".onnx" and path.is_file():
            return ONNX
        if _MODULE.fullmatch(self.source):
            return MODULE
        raise UsageError(
            f"SOURCE {self.source}: no such folder or .onnx file. Give a Hugging Face model folder,"
            " module:factory, or an .onnx file; models are not downloaded, so fetch a hub model"
            " into a folder first"
        )

    @property
    def model_name(self) -> str:
        return self.name or self.out.resolve().name


def check(options: Options) -> None:
    """Raise UsageError for what can be known to be wrong without loading the model."""
    kind = options.kind
    _check_choices(options)
    _check_combination(options, kind)
    _check_paths(options)
    if not _NAME.fullmatch(options.model_name):
        raise UsageError(
            f"--name {options.model_name!r}: use letters, digits, '.', '_' and '-', starting with a"
            " letter or digit (the default is the last part of --out)"
        )


def _check_choices(options: Options) -> None:
    for flag, value, choices in (
        ("--task", options.task, sorted(TASKS)),
        ("--precision", options.precision, PRECISIONS),
        ("--cpu", options.cpu, cpu_target.CPUS),
        ("--opset", options.opset, OPSETS),
    ):
        if value is not None and value not in choices:
            raise UsageError(f"{flag} {value}: choose one of {', '.join(map(str, choices))}")
    if options.tolerance is not None and not options.tolerance > 0:
        raise UsageError(f"--tolerance {options.tolerance}: must be above 0")
    for flag, share in (
        ("--min-agreement", options.min_agreement),
        ("--max-loss", options.max_loss),
        ("--threshold", options.threshold),
    ):
        if not 0 <= share <= 1:
            raise UsageError(f"{flag} {share}: must be between 0 and 1")


def _check_combination(options: Options, kind: str) -> None:
    if kind != HUGGINGFACE and options.adapter:
        raise UsageError(
            f"--adapter needs a Hugging Face model folder as SOURCE, got {options.source}"
        )
    if kind != HUGGINGFACE and not options.task:
        raise UsageError(
            f"--task is needed for {options.source}: one of {', '.join(sorted(TASKS))}"
        )
    if kind == HUGGINGFACE and options.task == "tensors":
        raise UsageError(
            "--task tensors takes an .onnx file or module:factory as SOURCE; a model folder has a"
            " task"
        )
    if options.task == "tensors" and kind == MODULE and not options.golden:
        raise UsageError(
            '--golden FILE is needed: a request such as {"inputs": {"x": [[0.5, 1.0]]}}, whose'
            " arrays tell what the module takes"
        )
    if options.task == "tensors" and options.tokenizer:
        raise UsageError("--tokenizer: tensors has no texts; leave it out")
    if options.data and options.task and options.task not in READERS:
        raise UsageError(
            f"--data: there is no metric for {options.task}; leave it out, and give inputs of your"
            " own with --inputs"
        )
    if kind == ONNX and options.opset:
        raise UsageError("--opset is for exports; an .onnx file keeps the opset that it has")


def _check_paths(options: Options) -> None:
    for flag, folder in (("--adapter", options.adapter), ("--tokenizer", options.tokenizer)):
        if folder and not folder.is_dir():
            raise UsageError(f"{flag} {folder}: no such folder")
    for flag, file in (
        ("--labels", options.labels),
        ("--settings", options.settings),
        ("--golden", options.golden),
    ):
        if file and not file.is_file():
            raise UsageError(f"{flag} {file}: no such file")
    for flag, path in (("--inputs", options.inputs), ("--data", options.data)):
        if path and not path.exists():
            raise UsageError(f"{flag} {path}: no such file or folder")
    _check_out(options.out)


def _check_out(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError(
            f"--out {out}: is not a folder; give the path of a new folder or of a model directory"
        )
    if out.is_dir() and any(out.iterdir()) and not (out / SPEC_FILE).is_file():
        raise UsageError(
            f"--out {out}: exists, is not empty and holds no {SPEC_FILE}, so it will not be"
            " replaced"
        )
