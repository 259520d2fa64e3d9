"""An environment for each server of peers.yaml: python -m examples.servers.environments FOLDER

One that is there is left as it is. They take 7 GB with PyTorch for CPUs alone, more with PyPI's.
Use Python 3.11: MLServer is for none later than 3.12.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"


def make(requirements: Path, folder: Path) -> None:
    """Make it, unless it is whole."""
    done = folder / "made"
    if done.is_file():
        return
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--requirement", str(requirements)], check=True)
    done.touch()


if __name__ == "__main__":
    for each in sorted(REQUIREMENTS.glob("*.txt")):
        make(each, Path(sys.argv[1]) / each.stem)
