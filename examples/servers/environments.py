"""The environments of the peers that `make benchmark` and `make servers` measure, one for each file
in requirements/, below FOLDER:

    python3.11 -m examples.servers.environments FOLDER [NAME ...]

One that was made from the same file is left as it is, another made anew. All take 7 GB with PyTorch
for CPUs alone, several times that with PyPI's: pip's own settings say where it looks, for example
PIP_EXTRA_INDEX_URL. DeepSparse has no release for Python later than 3.11, MLServer for 3.12.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
NAMES = sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))
LATEST = (3, 11)


def make(name: str, folder: Path) -> None:
    """Make it, unless it is whole and of these requirements."""
    requirements, made = REQUIREMENTS / f"{name}.txt", folder / "made"
    asked = requirements.read_text(encoding="utf-8")
    if made.is_file() and made.read_text(encoding="utf-8") == asked:
        return
    made.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--requirement", str(requirements)], check=True)
    made.write_text(asked, encoding="utf-8")


def main(folder: str, names: Sequence[str]) -> None:
    """All that are named, by default all. Exits with what is wrong."""
    if unknown := [name for name in names if name not in NAMES]:
        sys.exit(f"{unknown[0]}: there are {', '.join(NAMES)}")
    if sys.version_info[:2] > LATEST:
        had, most = ".".join(map(str, sys.version_info[:2])), ".".join(map(str, LATEST))
        sys.exit(f"this is Python {had}, and some peers end with {most}: make ... PEER_PYTHON=PATH")
    try:
        for name in names or NAMES:
            make(name, Path(folder) / name)
    except subprocess.CalledProcessError:
        sys.exit(f"{name}: its environment was not made; the reason is above. Then run it again")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("give the folder: python -m examples.servers.environments FOLDER [NAME ...]")
    main(sys.argv[1], sys.argv[2:])
