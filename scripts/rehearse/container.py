"""A container's package, without a container engine: the Dockerfile's own instructions, one by one
in a fresh folder, then its ENTRYPOINT with that folder as the root of the file system
(hosts/container.py). Only the base image is not its own: this machine's libraries and Python stand
for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.dockerfile import Image, Step, read
from onnxferry.scripts.rehearse.host import Host
from onnxferry.scripts.rehearse.runtime import HOSTS, Runtime, UnpackedPackage
from onnxferry.system.errors import RehearsalError

_SANDBOX = HOSTS / "container.py"
_END_LIMIT = 40.0  # seconds to end after SIGTERM, of the 45 that the manifests grant
_RUN_LIMIT = 600.0  # seconds for one RUN


def refusal() -> str:
    """Why this machine lets no program have a file system of its own; "" where it does."""
    probe = [sys.executable, "-ES", str(_SANDBOX), "probe"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    why = done.stderr.strip().rpartition("\n")[2] or f"exit {done.returncode}"
    return why if done.returncode else ""


def _check() -> None:
    if why := refusal():
        raise RehearsalError(
            f"no file system of its own can be made for a program on this machine ({why})."
            " Rehearse on Linux (5.12 or newer) as root, or where users may make namespaces, or"
            " build the package's image where Docker is: docker build"
        )


def _unpack(package: Package, root: Path) -> UnpackedPackage:
    image = root / "image"
    image.mkdir()
    image.chmod(0o755)  # whatever the umask: another user is to read it
    return UnpackedPackage(root, package.path, package.path / "model")


def _build(unpacked: UnpackedPackage, python: Path) -> None:
    """Carry out COPY and RUN in order."""
    (unpacked.root / "python").symlink_to(python)
    image = read(unpacked.app / "Dockerfile")
    if not image.entry or not image.user.partition(":")[0].isdecimal() or image.user[0] == "0":
        what = "an ENTRYPOINT, and a USER by number that is not root's"
        raise RehearsalError(f"{unpacked.app / 'Dockerfile'}: expected {what}; got {image.user!r}")
    for step in image.steps:
        {"COPY": _copy, "RUN": _run}[step.name](unpacked, step)


def _copy(unpacked: UnpackedPackage, step: Step) -> None:
    """One folder's content, as root's, if .dockerignore lets it through."""
    name, to = step.words
    source = unpacked.app / name
    allowed = (unpacked.app / ".dockerignore").read_text(encoding="utf-8").splitlines()
    if allowed[:1] != ["*"] or f"!{name.rstrip('/')}" not in allowed:
        raise RehearsalError(f"COPY {name}: .dockerignore does not let it through")
    if not source.is_dir():
        raise RehearsalError(f"COPY {name}: no such folder in {unpacked.app}")
    image, inside = unpacked.root / "image", step.image.path(to).relative_to("/")
    shutil.copytree(source, image / inside, dirs_exist_ok=True)
    for folder in inside.parents:
        (image / folder).chmod(0o755)


def _run(unpacked: UnpackedPackage, step: Step) -> None:
    variables = {"HOME": "/root", **step.image.variables}
    done = _done(unpacked, _inside(unpacked, step.image, step.words, "build"), variables)
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:].strip()
        raise RehearsalError(f"RUN {' '.join(step.words)}: exit {done.returncode}\n{said}")


def _done(
    unpacked: UnpackedPackage, arguments: Sequence[str | Path], variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Python with `arguments` of _inside, when it has ended."""
    python = (unpacked.root / "python").readlink()
    env = {"PATH": f"{python.parent}{os.pathsep}{os.defpath}", **variables}
    options: Any = {"capture_output": True, "text": True, "timeout": _RUN_LIMIT}
    try:
        return subprocess.run([python, *arguments], env=env, check=False, **options)
    except subprocess.TimeoutExpired as e:
        words = " ".join(map(str, arguments[6:]))
        raise RehearsalError(f"{words}: did not end within {_RUN_LIMIT:.0f} s") from e


def _inside(
    unpacked: UnpackedPackage, image: Image, words: tuple[str, ...], options: str = "run"
) -> tuple[str | Path, ...]:
    """Arguments of a Python that runs `words` in the image, as its user."""
    user, root = image.user.partition(":")[0], unpacked.root / "image"
    return ("-I", _SANDBOX, root, user, image.folder, options, *words)


def _image(unpacked: UnpackedPackage) -> Image:
    return read(unpacked.app / "Dockerfile")


def _environment(unpacked: UnpackedPackage, port: int) -> dict[str, str]:
    """The image's, but that it listens on loopback alone, where a rehearsal asks."""
    own = {"PORT": str(port), "ONNXFERRY_SERVER_HOST": "127.0.0.1"}
    return {**_image(unpacked).variables, **own, **dict.fromkeys(("HOME", "TMPDIR", "TEMP"), "/")}


def _command(image: Image, unpacked: UnpackedPackage) -> tuple[str | Path, ...]:
    return _inside(unpacked, image, (*image.entry, *image.command))


def _prove(host: Host, unpacked: UnpackedPackage) -> None:
    """HEALTHCHECK finds it healthy, and SIGTERM, which only process 1 gets, ends it with 0."""
    port = int(host.url.rpartition(":")[2].partition("/")[0])
    image = _image(unpacked)
    checked = _done(unpacked, _inside(unpacked, image, image.health), _environment(unpacked, port))
    if checked.returncode:
        said = checked.stderr.strip()[-500:]
        raise host.failure(f"HEALTHCHECK: exit {checked.returncode}, expected 0. {said}")
    if code := host.ended(_END_LIMIT):
        raise host.failure(f"exit {code} after SIGTERM, expected 0")


RUNTIME = Runtime(
    title="the container's image, built here",
    health="/v2/health/ready",
    score="/score",
    unpack=_unpack,
    installs=lambda unpacked, python: (),
    command=lambda unpacked, port: _command(_image(unpacked), unpacked),
    environment=_environment,
    check=_check,
    build=_build,
    prove=_prove,
)
