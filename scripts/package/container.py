"""A container: a folder for `docker build`, with what serves the image by Docker Compose, on any
Kubernetes and on KServe.

The libraries lie unpacked and slimmed in it, as Azure Functions gets them, and are copied: wheels
that pip installs are the larger image, need pip, and leave other bytes at each build (pip records
times and paths). An installation would not be checked better: the hashes are checked here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from onnxferry import targets
from onnxferry.scripts.package import local, pins, slim
from onnxferry.scripts.package.archive import members, write_folder
from onnxferry.scripts.package.container_manifests import compose, kserve, kubernetes
from onnxferry.scripts.package.container_sizes import BODIES_MIB, PORT, UID, Sizes
from onnxferry.scripts.package.endpoint_name import endpoint_name
from onnxferry.scripts.package.layout import Entry, PackageLayout
from onnxferry.scripts.package.model import CheckedModel
from onnxferry.system.versions import own_version

LIBRARIES = tuple(pins.with_closure(local.SERVER))
_STATIC = Path(targets.__file__).parent / "container"
_CONTEXT = ("libraries", "server", "model")  # what the Dockerfile copies
_UNSAFE = re.compile(r"[^\w.:/+-]")  # in a label between quotes
_IGNORED = "".join(("*\n", *(f"!{folder}\n" for folder in _CONTEXT)))


@dataclass(frozen=True)
class ContainerLayout(PackageLayout):
    """The local package's files in folders, with what makes an image of them. Its version, by which
    the image is tagged, is that of all the files that are copied into it."""

    def entries(self, model: CheckedModel) -> list[Entry]:
        """See PackageLayout."""
        inside = [*map(_placed, local.LAYOUT.entries(model)), *self.added(model)]
        inside = [entry for entry in inside if entry.path.startswith(_CONTEXT)]
        inside.append(Entry("server/healthcheck.py", _STATIC / "healthcheck.py"))
        return [*inside, *_declared(model, inside)]


def _placed(entry: Entry) -> Entry:
    """The local package's file where the image has it."""
    path = entry.path if entry.path.startswith("model/") else f"server/{entry.path}"
    return Entry(path, entry.source)


def _declared(model: CheckedModel, inside: Sequence[Entry]) -> list[Entry]:
    listed = sorted(members(inside), key=lambda member: member.path)
    content = sha256("".join(f"{m.sha256}  {m.path}\n" for m in listed).encode()).hexdigest()
    spec, weights = model.spec, sum(m.size for m in listed if m.path.startswith("model/"))
    name, sizes = endpoint_name(spec.name).lower(), Sizes.of(weights)
    facts = {"task": spec.task, "precision": spec.precision, "python": model.python}
    # not the digits alone, of which 8827e1234567 is a number in YAML
    version = f"sha-{content[:12]}"
    facts |= {"name": name, "version": version, "sha256": content, "onnxferry": own_version()}
    facts["source"] = spec.provenance.get("source", {}).get("sha256", "")
    facts = {key: _UNSAFE.sub("_", str(value)) for key, value in facts.items()}
    template = (_STATIC / "Dockerfile").read_text(encoding="utf-8")
    rule = {"port": PORT, "uid": UID, "bodies": BODIES_MIB, "start": sizes.start_seconds}
    dockerfile = template.format(**facts, **rule)
    image = f"{name}:{version}"
    return [
        Entry("Dockerfile", dockerfile.encode()),
        Entry(".dockerignore", _IGNORED.encode()),
        Entry("compose.yaml", compose(image, sizes)),
        Entry("kubernetes.yaml", kubernetes(image, sizes)),
        Entry("kserve.yaml", kserve(image, sizes)),
    ]


def added(model: CheckedModel, **source: Any) -> list[Entry]:
    """The libraries, from `source` as slim.brought has it."""
    return slim.brought(model, "libraries/", LIBRARIES, alone=True, **source)


LAYOUT = ContainerLayout(target="container", file="package", write=write_folder, added=added)
