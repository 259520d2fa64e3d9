"""A small arm64 system in a folder: Debian's Python and the libraries that scoring needs.

Nothing of it is installed on this machine; apt works on package lists of its own.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = "packages"  # the folder of Python's libraries, in the system's
LIBRARIES = ("numpy", "onnxruntime", "tokenizers")
# ONNX Runtime reads /proc/cpuinfo for what the CPU can do; qemu 7.2 shows the host's
CPU = """processor\t: {number}
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""


def system(folder: Path) -> Path:
    """The system in `folder`, made now unless it is there. Raises CalledProcessError, OSError."""
    if not folder.is_dir():
        making = folder.with_name(f"{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        _unpack(_debian(making / "apt"), making)
        _libraries(making)
        (making / "proc").mkdir()
        cpus = [CPU.format(number=i) for i in range(os.cpu_count() or 1)]
        (making / "proc" / "cpuinfo").write_text("".join(cpus), encoding="utf-8")
        shutil.rmtree(making / "apt")
        making.rename(folder)
    return folder


def python(system: Path) -> Path:
    """The interpreter, by its full name such as python3.11."""
    return (system / "usr" / "bin" / "python3").resolve()


def _debian(apt: Path) -> list[Path]:
    """Python's packages for arm64 and all that they need, downloaded."""
    for part in ("lists/partial", "archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "status").touch()  # as on a machine where nothing is installed
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "APT::Sandbox::User": "",
        "Dir::State::Lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
        "Debug::NoLocking": "1",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    _run("apt-get", *options, "update")
    wanted = ("--download-only", "--no-install-recommends", "install", "python3", "libstdc++6")
    _run("apt-get", *options, "--yes", *wanted)
    return sorted((apt / "archives").glob("*.deb"))


def _unpack(debs: list[Path], folder: Path) -> None:
    for deb in debs:
        _run("dpkg-deb", "--extract", str(deb), str(folder))


def _libraries(folder: Path) -> None:
    """The libraries' wheels for arm64, of the versions that are installed here."""
    pins = [f"{name}=={importlib.metadata.version(name)}" for name in LIBRARIES]
    version = python(folder).name.removeprefix("python")
    kinds = ("2014", "_2_27", "_2_28")
    platforms = [f"--platform=manylinux{kind}_aarch64" for kind in kinds]
    target = ("--target", str(folder / PACKAGES), "--no-deps", "--only-binary=:all:")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-compile")
    _run(*pip, *target, *platforms, "--python-version", version, *pins)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
