"""Which interpreter a rehearsal takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from onnxferry.scripts.rehearse import find_python

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_the_running_version_is_found_and_makes_environments() -> None:
    found = find_python(HERE)
    assert found is not None
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    assert (
        subprocess.run(
            [found, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == HERE
    )


def test_a_shim_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    """As pyenv puts one on PATH for every version that it has, active or not."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, script in ((first, "exit 127"), (second, "echo 3.99")):
        folder.mkdir()
        (folder / "python3.99").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "python3.99").chmod(0o755)
    environ = {"PATH": f"{first}:{second}:/bin:/usr/bin"}
    assert find_python("3.99", environ) == second / "python3.99"


def test_a_version_that_is_not_here_is_none(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    assert find_python("3.98", environ) is None
    assert find_python("newest", environ) is None


def test_pyenv_versions_that_are_not_active_are_found(tmp_path: Path) -> None:
    python = tmp_path / "versions" / "3.97.2" / "bin" / "python3.97"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 3.97\n")
    python.chmod(0o755)
    assert find_python("3.97", {"PYENV_ROOT": str(tmp_path)}) == python
