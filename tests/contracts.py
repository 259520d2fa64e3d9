"""Check the bodies that `pytest --bodies DIR` kept against Azure's published schemas: python -m
tests.contracts CONTRACTS DIR, where CONTRACTS holds armcheck.py and its schemas.

Three kinds of line are no mistakes: CASE (the services take any case, and the SDKs send it),
samplingRate, which the schemas call an integer and is a fraction, and hash_version, which
azure-ai-ml itself sends as a number with the code that it uploads.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HARMLESS = ("CASE", "samplingRate", "hash_version")


def complaints(contracts: Path, body: Path) -> Iterator[str]:
    """What armcheck says of one body, but for the harmless."""
    version, type_, _ = body.stem.split("__")
    run = [sys.executable, str(contracts / "armcheck.py"), version, _type(type_), str(body)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    yield from (
        line
        for line in lines
        if line not in ("", "OK") and not any(word in line for word in HARMLESS)
    )


def _type(name: str) -> str:
    """ "Microsoft.Web.sites" -> "Microsoft.Web/sites": a provider has one dot."""
    provider, namespace, *rest = name.split(".")
    return "/".join((f"{provider}.{namespace}", *rest))


def main(contracts: Path, folder: Path) -> int:
    bodies = sorted(folder.glob("*.json"))
    if not bodies:
        print(f"{folder}: no bodies; run the tests with --bodies {folder}")
        return 1
    found = {body.name: list(complaints(contracts, body)) for body in bodies}
    for name, lines in found.items():
        for line in lines:
            print(f"{name}: {line}")
    unpublished = sum(
        lines[:1] != [] and lines[0].startswith("no schema for") for lines in found.values()
    )
    wrong = sum(map(bool, found.values())) - unpublished
    print(
        f"{len(bodies)} bodies: {wrong} with complaints, {unpublished} of kinds without a published"
        " schema here"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
