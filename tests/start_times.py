"""How SageMaker's container starts sooner: with the libraries unpacked beside the code, as packages
have them, or with wheels that it installs by requirements.txt without the index. Both ways in the
same rounds, cut off from the network: python -m tests.start_times

The best case for installing: the container has numpy and tokenizers in the very versions already.
"""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from onnxferry.scripts.package import Package, layout_of, package, pins, wheels
from onnxferry.scripts.package.archive import members
from onnxferry.scripts.package.layout import Entry, PackageLayout, tree
from onnxferry.scripts.package.model import CheckedModel
from onnxferry.scripts.rehearse import find_python, start
from onnxferry.scripts.rehearse.environments import environment
from onnxferry.scripts.rehearse.runtime import Install
from onnxferry.scripts.rehearse.sagemaker import RUNTIME
from tests import tiny
from tests.packages import quiet
from tests.targets.served import ANSWER, GOLDEN, HERE

ROUNDS = 3


def installing(folder: Path) -> PackageLayout:
    """The package that brings its wheels as they are, fetched to `folder`, to be installed."""

    def added(model: CheckedModel) -> list[Entry]:
        names = (*pins.with_closure(wheels.SCORING), *model.libraries)
        wanted = pins.select(names, model.python)
        wheels.download(wanted, model.python, {**os.environ, "TMPDIR": str(folder)})
        brought = [e for e in tree(folder, "code/wheels/") if e.path.endswith(".whl")]
        hashes = " ".join(f"--hash=sha256:{member.sha256}" for member in members(brought))
        lines = ["--no-index", "--find-links wheels", *(f"{pin} {hashes}" for pin in wanted)]
        return [Entry("code/requirements.txt", "\n".join(lines).encode()), *brought]

    return replace(layout_of("sagemaker"), added=added)


@contextmanager
def container() -> Iterator[Path]:
    """A cache with the environment of a container, compiled as an image is."""
    python = find_python(HERE)
    assert python
    with tempfile.TemporaryDirectory() as cache:
        made = environment(f"sagemaker-{HERE}", python, _installs(), Path(cache), quiet)
        compileall.compile_dir(made, quiet=2, workers=0)
        yield Path(cache)


def refresh(cache: Path) -> None:
    """Take away what was installed at a start."""
    (python,) = cache.glob("envs/*/bin/python")
    added = ("onnxruntime", *pins.CLOSURES["onnxruntime"].split())
    mine = [name for name in added if name not in _names(_installs())]
    command = [str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *mine]
    subprocess.run(command, check=True, capture_output=True)


def _names(installs: tuple[Install, ...]) -> set[str]:
    return {pin.partition("==")[0] for install in installs for pin in install.requirements}


def _installs() -> tuple[Install, ...]:
    return (*RUNTIME.installs(None, HERE), Install(("pip",)))  # type: ignore[arg-type]


def seconds(built: Package, cache: Path) -> float:
    """From the archive to the first golden answer."""
    runtime = replace(RUNTIME, installs=lambda unpacked, python: _installs())
    began = time.monotonic()
    with start(built, runtime=runtime, cache=cache, report=quiet) as host:
        assert host.send(GOLDEN.request).body == ANSWER
        return time.monotonic() - began


def main() -> None:
    """Print the size of both packages, the median of their start times, and the ratio."""
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        model = tiny.text_classification(folder / "model", golden=GOLDEN)
        (folder / "wheels").mkdir()
        ways = {"unpacked": layout_of("sagemaker"), "installed": installing(folder / "wheels")}
        built = {
            way: package(model, layout, out=folder / way, python=HERE, report=quiet)
            for way, layout in ways.items()
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        with container() as cache:
            for _ in range(ROUNDS):
                for way, one in built.items():
                    times[way].append(seconds(one, cache))
                refresh(cache)
        for way, one in built.items():
            middle = statistics.median(times[way])
            print(f"{way}: {one.size / 1e6:.1f} MB, {middle:.1f} s of {sorted(times[way])}")
        ratios = [b / a for a, b in zip(times["unpacked"], times["installed"], strict=True)]
        print(f"installed / unpacked: {statistics.median(ratios):.2f} of {sorted(ratios)}")


if __name__ == "__main__":
    main()
