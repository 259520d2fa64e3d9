"""Byte code in packages: by the running interpreter, the same bytes each time, imported where
nothing can be written, and left out where no interpreter is there that makes it."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pytest

from onnxferry.scripts.package import bytecode, layout_of, package
from onnxferry.scripts.package.bytecode import Compiler, beside_sources, compiler, without_sources
from onnxferry.system.errors import PackageError
from tests import tiny
from tests.packages import bare, build, make_index, quiet

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
UNCHECKED = 1  # the flag of byte code that is taken without a look at its source (PEP 552)
SOURCE = '''
"""What a module is for."""
WORDS = {"a", "naïve", "c"}
def known(word):
    """Whether `word` is."""
    assert word, "no word"
    if word in {"one", "two", "three", "a word that no other module has"}:
        raise RuntimeError(word)
    return word in WORDS
'''


@pytest.fixture(scope="module")
def here() -> Compiler:
    found = compiler(HERE)
    assert found
    return found


def library(folder: Path) -> Path:
    for name in ("words/__init__.py", "words/more.py", "words/inner/__init__.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SOURCE)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", "-B", "-c", code, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def names(code: CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return {code.co_filename}.union(*map(names, inner))


def test_the_same_interpreter_makes_the_same_bytes_anywhere(
    here: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("one", "1"), ("another/folder", "2")):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        without_sources(library(tmp_path / name), here)
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    sources = {"a.py": SOURCE.encode(), "b/c.py": SOURCE.encode()}

    made = files(tmp_path / "one")
    assert made == files(tmp_path / "another/folder")
    assert beside_sources(sources, here) == beside_sources(dict(reversed(sources.items())), here)
    code = marshal.loads(made["words/more.pyc"][16:])  # noqa: S302
    assert names(code) == {"words/more.py"}


def test_a_library_is_modules_without_sources_docstrings_and_assertions(
    here: Compiler, tmp_path: Path
) -> None:
    folder = library(tmp_path / "library")
    without_sources(folder, here)

    assert set(files(folder)) == {f"words/{n}.pyc" for n in ("__init__", "more", "inner/__init__")}
    said = "import sys; sys.path.insert(0, sys.argv[1]); from words.inner import known; "
    done = run(said + "print(known.__doc__, known(''), known('c'))", folder)
    assert (done.stdout, done.stderr) == ("None False True\n", "")


def test_our_modules_keep_sources_and_the_lines_of_a_traceback(
    here: Compiler, tmp_path: Path
) -> None:
    """Taken as they are, at whatever time the archive says that the source was changed."""
    (tmp_path / "app.py").write_text(SOURCE)
    os.utime(tmp_path / "app.py", (0, 0))
    ((path, content),) = beside_sources({"app.py": SOURCE.encode()}, here).items()
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_bytes(content)

    assert path == f"__pycache__/app.{sys.implementation.cache_tag}.pyc"
    assert int.from_bytes(content[4:8], "little") == UNCHECKED
    said = "import sys; sys.path.insert(0, sys.argv[1]); import app; "
    cached = run(f"{said}print(app.__cached__, app.__doc__); app.known('one')", tmp_path)
    assert cached.stdout == f"{tmp_path / path} What a module is for.\n"
    assert 'app.py", line 8, in known\n    raise RuntimeError(word)' in cached.stderr


def test_a_module_that_is_no_python_is_told_by_its_name(here: Compiler) -> None:
    said = rf"(?s)Python {HERE}\.\d+ cannot compile.*model/bad\.py"
    with pytest.raises(PackageError, match=said):
        beside_sources({"model/bad.py": b"def half("}, here)


@pytest.mark.parametrize(("magic", "taken"), [(3531, True), (3530, False)])
def test_an_interpreter_from_before_a_release_does_not_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, magic: int, taken: bool
) -> None:
    """Its number is one that no release loads."""
    python = tmp_path / "python3.12"
    python.write_text(f"#!/bin/sh\necho 3.12.0 {magic}\n")
    python.chmod(0o755)
    monkeypatch.setattr(bytecode, "find_python", lambda version: python)
    assert compiler("3.12") == (Compiler(python, "3.12.0") if taken else None)


def test_the_number_is_the_one_of_this_interpreter(here: Compiler) -> None:
    assert here.version == ".".join(map(str, sys.version_info[:3]))


def test_a_package_says_what_compiled_it_or_that_nothing_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny.question_answering(tmp_path / "model")
    without = bare("functions")
    compiled = package(model, without, out=tmp_path / "a", python=HERE, report=quiet)
    monkeypatch.setattr(bytecode, "find_python", lambda version: None)
    plain = package(model, without, out=tmp_path / "b", python=HERE, report=quiet)

    cached = f"__pycache__/function_app.{sys.implementation.cache_tag}.pyc"
    assert compiled.compiled_by == ".".join(map(str, sys.version_info[:3]))
    assert cached in {member.path for member in compiled.members}
    assert plain.compiled_by == ""
    assert not [member for member in plain.members if member.path.endswith(".pyc")]
    assert f"note no Python {HERE} is here to compile" in capsys.readouterr().err


def test_libraries_without_a_compiler_are_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bytecode, "find_python", lambda version: None)
    built = build(make_index(tmp_path / "index"), layout_of("functions"))
    named = {member.path for member in built.members}
    assert ".python_packages/lib/site-packages/tokenizers/__init__.py" in named
    assert not [name for name in named if name.endswith(".pyc")]
