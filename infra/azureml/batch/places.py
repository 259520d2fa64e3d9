"""Where a batch reads and writes: folders of the workspace's datastores, and which of their blobs
are inputs, answers and records of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from onnxferry.infra.azureml.desired import digest
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.state import Clients
from onnxferry.infra.batch_files import ANSWER, RECORD, RECORDS, dataset_in, folder_key, record_in
from onnxferry.infra.clients.azure_blobs import BlobContainer
from onnxferry.infra.clients.azureml_types import Datastore
from onnxferry.infra.errors import NotFound
from onnxferry.infra.jobs import FORMATS, PARQUET, BatchRequest, DataFile, Dataset
from onnxferry.system.errors import UsageError

ROWS = "answers.jsonl"  # what a job appends to, in a folder of its own
JOB = "onnxferryjob"  # metadata on an answer file: the job that it is of
KNOWN = (*FORMATS, PARQUET)

_DATASTORE = re.compile(
    r"azureml://(?:subscriptions/[^/]+/resource[gG]roups/[^/]+(?:/providers/[^/]+)?"
    r"/workspaces/[^/]+/)?datastores/(?P<store>[^/]+)/paths/(?P<path>.*)"
)
_BLOB = re.compile(r"(?P<url>https://[^/]+)/(?P<container>[^/]+)/?(?P<path>.*)")
_ASSET = re.compile(r"azureml:(?P<name>[^:/]+):(?P<version>[^:/]+)")


@dataclass(frozen=True)
class Place:
    """A folder of a datastore; `folder` ends with "/", or is "" for all of it."""

    store: Datastore
    blobs: BlobContainer
    folder: str

    @property
    def url(self) -> str:
        """Its azureml:// address."""
        return f"azureml://datastores/{self.store.name}/paths/{self.folder}"

    @property
    def absolute(self) -> str:
        """Where it is, whatever the datastore's name."""
        return f"{self.store.url}/{self.store.container}/{self.folder}"


@dataclass(frozen=True)
class Places:
    """The input, of which only the file `name` counts where that is not "", and the output."""

    input: Place
    name: str
    output: Place

    @property
    def digest(self) -> str:
        """8 hexadecimal digits that name both."""
        return digest([self.input.absolute, self.name, self.output.absolute])[:8]

    @property
    def source(self) -> str:
        """The input, for people."""
        return f"{self.input.url}{self.name}"


def places_of(clients: Clients, names: Names, asked: BatchRequest) -> Places:
    """Those of a request. Raises UsageError for what is no address, or no place of the workspace,
    and where the answers would lie among the inputs; NotFound."""
    source = _place(clients, "input", _resolved(clients, names, asked.input))
    out = _place(clients, "output", asked.output)
    out = Place(out.store, out.blobs, folder_key(out.folder))
    found, key = Places(Place(source.store, source.blobs, folder_key(source.folder)), "", out), ""
    if source.folder and not source.folder.endswith("/") and _is_file(source):
        parent, slash, key = source.folder.rpartition("/")
        found = Places(Place(source.store, source.blobs, parent + slash), key, out)
    if not key and out.absolute.startswith(found.input.absolute):
        raise UsageError(
            f"--output {asked.output}: it lies in --input, whose files a job reads all; give"
            " another folder"
        )
    return found


def dataset(places: Places, job: str = "") -> Dataset:
    """The inputs, and which have answers (of that `job`, if it is given). Raises UsageError where
    they are of no known format, or of several."""
    place = places.input
    there = place.blobs.sizes(f"{place.folder}{places.name}")
    sizes = {name[len(place.folder) :]: size for name, size in there.items()}
    answered = partial(_answered, places.output, job)
    return dataset_in(place.url, places.name, sizes, KNOWN, answered)


def record(places: Places) -> Mapping[str, Any] | None:
    """What the output says of its answers; None where it says nothing. Raises UsageError for a
    record that is not ours."""
    text = places.output.blobs.read(f"{places.output.folder}{RECORD}")
    return None if text is None else record_in(text, f"{places.output.url}{RECORD}")


def record_of(names: Names, places: Places, version: str) -> dict[str, str]:
    """What is to be said of the answers at the output."""
    return {"input": places.source, "endpoint": names.endpoint, "version": version}


def kept(places: Places) -> dict[str, list[str]]:
    """What the folders of jobs below the output hold: names of blobs, by the job's."""
    start, found = f"{places.output.folder}{RECORDS}", dict[str, list[str]]()
    for name in places.output.blobs.sizes(start):
        job, inside, _ = name[len(start) :].partition("/")
        if inside:
            found.setdefault(job, []).append(name)
    return found


def _answered(out: Place, job: str, files: tuple[DataFile, ...]) -> list[str]:
    there = out.blobs.list(out.folder)
    facts = {file.name: there.get(f"{out.folder}{file.name}{ANSWER}") for file in files}
    return [name for name, of in facts.items() if of is not None and job in ("", of.get(JOB))]


def _resolved(clients: Clients, names: Names, url: str) -> str:
    """The address of a registered data asset; another is as it is. Raises NotFound."""
    asset = _ASSET.fullmatch(url)
    if not asset:
        return url
    id_ = f"{names.workspace_id}/data/{asset['name']}/versions/{asset['version']}"
    found = (clients.resources.get(id_) or {}).get("properties") or {}
    if not found.get("dataUri"):
        raise NotFound(f"{url}: workspace {names.workspace} has no such data asset")
    return str(found["dataUri"])


def _place(clients: Clients, flag: str, url: str) -> Place:
    if named := _DATASTORE.fullmatch(url):
        return Place(*clients.workspace.opened(named["store"]), named["path"])
    blob = _BLOB.fullmatch(url)
    if not blob:
        raise UsageError(
            f"--{flag} {url}: expected azureml://datastores/NAME/paths/FOLDER/, or"
            " https://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER/ of a datastore"
        )
    for store in clients.workspace.datastores():
        if (store.url.lower(), store.container) == (blob["url"].lower(), blob["container"]):
            return Place(*clients.workspace.opened(store.name), blob["path"])
    raise UsageError(
        f"--{flag} {url}: no datastore of the {clients.workspace.where} is this container; register"
        " one (az ml datastore create), by which jobs reach it"
    )


def _is_file(place: Place) -> bool:
    return place.folder in place.blobs.sizes(place.folder)
