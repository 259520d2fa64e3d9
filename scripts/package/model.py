"""A model directory, checked before it is packed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import MODEL_FILE, SPEC_FILE, TOKENIZER_FILE, ModelSpec
from onnxferry.scripts.engines import ENGINES
from onnxferry.scripts.package import pins
from onnxferry.scripts.package.bytecode import Compiler
from onnxferry.system.errors import PackageError, UsageError
from onnxferry.system.exits import program
from onnxferry.system.hashes import sha256

FETCH = "urllib3"  # a deployment may allow a picture's URL at any time
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class CheckedModel:
    """A model directory checked for a Python ("3.12"): the files to pack, relative, with /, the
    distributions that scoring imports besides numpy and onnxruntime (FETCH for pictures by URL),
    and what compiles modules for a package that brings them compiled."""

    folder: Path
    python: str
    spec: ModelSpec
    files: tuple[str, ...]
    libraries: tuple[str, ...]
    compiler: Compiler | None = None


def check(folder: Path, python: str) -> CheckedModel:
    """Read and check `folder` for a host with Python `python`. Raises UsageError for no folder, and
    PackageError for a missing spec, graph or tokenizer, a file whose hash is not the spec's, an
    unknown task, or a graph that is too new."""
    from onnxferry.scoring.tasks import needs  # imports onnxruntime; reading a package needs it not

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; make it with {program('prepare')}")
    try:
        spec = ModelSpec.read(folder)
        needed = needs(spec)
    except ModelError as e:
        raise PackageError(str(e)) from e
    libraries = (*needed, FETCH) if "pillow" in needed else needed
    _check_present(folder, spec, libraries)
    for name, expected in spec.files.items():
        _check_hash(folder, name, expected)
    _check_engine(folder, spec, python)
    return CheckedModel(folder, python, spec, _files(folder, spec), libraries)


def _check_present(folder: Path, spec: ModelSpec, libraries: tuple[str, ...]) -> None:
    if not _NAME.fullmatch(spec.name):
        raise PackageError(
            f"{folder / SPEC_FILE}: name {spec.name!r} cannot name a folder; use at most 63 of"
            " letters, digits, '.', '_' and '-', the first a letter or digit"
        )
    if not (folder / MODEL_FILE).is_file():
        raise PackageError(f"{folder}: no {MODEL_FILE}; make it with {program('prepare')}")
    if "tokenizers" in libraries and not (folder / TOKENIZER_FILE).is_file():
        raise PackageError(
            f"{folder}: no {TOKENIZER_FILE}, which task {spec.task} needs; save it by transformers:"
            " AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )


def _check_hash(folder: Path, name: str, expected: str) -> None:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts:
        raise PackageError(f"{folder / SPEC_FILE}: {name!r} is outside of the model directory")
    if not (folder / name).is_file():
        raise PackageError(f"{folder}: no {name}, which {SPEC_FILE} lists; prepare the model again")
    if (actual := sha256(folder / name)) != expected.removeprefix("sha256:"):
        raise PackageError(
            f"{folder / name}: sha256 is {actual}, but {SPEC_FILE} says {expected}; the file was"
            " changed: prepare the model again"
        )


def _check_engine(folder: Path, spec: ModelSpec, python: str) -> None:
    version = pins.version("onnxruntime", python)
    newest_ir, newest_opset = ENGINES[version]
    limits = {"IR version": (spec.ir_version, newest_ir), "opset": (spec.opset, newest_opset)}
    for what, (value, newest) in limits.items():
        if value is not None and value > newest:
            raise PackageError(
                f"{folder / MODEL_FILE}: ONNX {what} {value}; onnxruntime {version}, pinned for"
                f" Python {python}, loads at most {newest}: export with an older {what}"
            )


def _files(folder: Path, spec: ModelSpec) -> tuple[str, ...]:
    # the glob finds the weights beside a large graph too
    found = {*folder.glob(f"{MODEL_FILE}*"), folder / SPEC_FILE, folder / TOKENIZER_FILE}
    names = {path.name for path in found if path.is_file()}
    return tuple(sorted(names | {PurePosixPath(name).as_posix() for name in spec.files}))
