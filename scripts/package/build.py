"""package(): a model directory becomes what one platform loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onnxferry.scripts.package import archive, manifest, model
from onnxferry.scripts.package.bytecode import Compiler, compiler
from onnxferry.scripts.package.contract import Member, Package
from onnxferry.scripts.package.layout import Entry, PackageLayout
from onnxferry.system.console import ReportStage, err, stage
from onnxferry.system.errors import PackageError, UsageError
from onnxferry.system.files import replacing
from onnxferry.targets import TARGETS, Target, load


def package(
    model_dir: Path,
    target: str | PackageLayout,
    *,
    out: Path = Path("build"),
    python: str | None = None,
    report: ReportStage = stage,
) -> Package:
    """Build `target`'s package of `model_dir` as <out>/<target>/<name>/, with its package.json.

    `python` is the Python version of the host ("3.12"; default: the platform's). Equal input gives
    equal bytes. Raises UsageError for an unknown target or Python, and PackageError for an unusable
    model directory, a dependency that cannot be had, or a package over the limit.
    """
    layout = layout_of(target) if isinstance(target, str) else target
    python = _python(layout, python)
    with report(f"check {model_dir}"):
        checked = replace(model.check(model_dir, python), compiler=_compiler(layout, python))
    with report(f"collect what {layout.target} needs for Python {python}"):
        entries = layout.entries(checked)
    path = out / layout.target / checked.spec.name / layout.file
    by = checked.compiler.version if checked.compiler else ""
    draft = Package(layout.target, checked.spec.name, path, "", 0, python, (), by)
    with report(f"write {path}"):
        return _write(sorted(entries, key=lambda entry: entry.path), layout, draft)


def drafted(model_dir: Path | None, layout: PackageLayout, python: str | None = None) -> Package:
    """What is known of a package before it is built: its Python, and the files of its model, where
    there is a `model_dir`. Raises as `package` does for a Python or a model directory."""
    python = _python(layout, python)
    draft = Package(layout.target, "", Path(layout.file), "", 0, python, ())
    if model_dir is None:
        return draft
    checked = model.check(model_dir, python)
    entries = [Entry(layout.model + name, checked.folder / name) for name in checked.files]
    return replace(draft, model=checked.spec.name, members=archive.members(entries))


def _python(layout: PackageLayout, python: str | None) -> str:
    python = python or layout.pythons[0]
    if python not in layout.pythons:
        allowed = ", ".join(sorted(layout.pythons))
        raise UsageError(f"Python {python} is not what {layout.target} runs; allowed: {allowed}")
    return python


def _compiler(layout: PackageLayout, python: str) -> Compiler | None:
    found = compiler(python) if layout.compiled else None
    if layout.compiled and not found:
        err.print(
            f"[yellow]note[/yellow] no Python {python} is here to compile the package's modules, so"
            f" each start of a host will, which takes it twice the CPU time"
        )
    return found


def layout_of(target: str, image: str = "") -> PackageLayout:
    """The package layout of `target`, on the platform's default image or on `image`. Raises
    UsageError for an unknown one."""
    layout: PackageLayout = load(target_row(target).layout)
    if not image:
        return layout
    if image not in layout.images:
        known = f"known: {', '.join(layout.images)}" if layout.images else "it has only the one"
        raise UsageError(f"{target} has no image {image!r}; {known}")
    return layout.images[image]


def target_row(target: str) -> Target:
    """The row of `target`. Raises UsageError for an unknown one."""
    if target not in TARGETS:
        raise UsageError(f"unknown target {target!r}; known: {', '.join(TARGETS)}")
    return TARGETS[target]


def _write(entries: Sequence[Entry], layout: PackageLayout, draft: Package) -> Package:
    members = archive.members(entries)
    unpacked = sum(member.size for member in members)
    check_limit(draft.target, "unpacked", unpacked, layout.unpacked, members)
    if there := manifest.same(replace(draft, members=members)):
        return there
    with replacing(draft.path) as fresh:
        layout.write(entries, fresh)
        size = fresh.stat().st_size if fresh.is_file() else unpacked
        check_limit(draft.target, "packed", size, layout.packed, members)
        sha256 = archive.fingerprint(fresh)
    built = replace(draft, sha256=sha256, size=size, members=members)
    manifest.write(built)
    return built


def check_limit(
    target: str, what: str, size: int, limit: int | None, members: Sequence[Member]
) -> None:
    """Raise PackageError when `size` is over `limit`, both in bytes ("packed" or "unpacked")."""
    if limit is None or size <= limit:
        return
    largest = sorted(members, key=lambda m: m.size, reverse=True)[:5]
    listed = ", ".join(f"{m.path} {_mb(m.size)}" for m in largest)
    raise PackageError(
        f"the package is {_mb(size)} {what}; {target} takes {_mb(limit)}. Its largest members:"
        f" {listed}. Quantise the model, or choose a smaller one or another target"
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
