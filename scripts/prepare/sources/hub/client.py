"""The hub's own client, asked of one model: its only importer. Its refusals become PrepareErrors
that say what to do and hold no token; it is Unreachable where the cache may stand in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.hub_id import HubId
from onnxferry.system.errors import PrepareError
from onnxferry.system.library_output import silence_libraries

with silence_libraries():  # the client reads only once whether bars are wanted, which all share
    import huggingface_hub as client
    from huggingface_hub import constants, errors
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, logging

_HTTP = errors.HfHubHTTPError.__bases__[0]  # of requests or httpx, by the client's version
_TRUE = {"1", "ON", "YES", "TRUE"}


class Unreachable(PrepareError):
    """The hub does not answer, or must not be asked."""


@dataclass(frozen=True)
class RemoteFile:
    """`etag` names the content, as the cache does: SHA-256 of large files, git's SHA-1 of others;
    "" where the hub does not tell."""

    path: str
    size: int
    etag: str


@dataclass(frozen=True)
class RemoteModel:
    """A model at one commit."""

    name: str
    commit: str
    files: Mapping[str, RemoteFile]


def endpoint() -> str:
    """The hub's address."""
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def cache() -> Path:
    """Where the client keeps what it downloaded."""
    return Path(constants.HF_HUB_CACHE)


@contextmanager
def quiet_client() -> Iterator[None]:
    """The client without its own bars and lines, online or not as the environment says: it reads
    that once, perhaps while this project kept all libraries off the network."""
    offline, level = constants.HF_HUB_OFFLINE, logging.get_verbosity()
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    wanted = any((os.environ.get(name) or "").upper() in _TRUE for name in names)
    logging.set_verbosity_error()
    try:
        _set_offline(wanted)
        yield
    finally:
        logging.set_verbosity(level)
        _set_offline(offline)


def offline() -> bool:
    """Whether the hub is not to be asked; within `quiet_client`."""
    return bool(constants.HF_HUB_OFFLINE)


def _set_offline(value: bool) -> None:
    constants.HF_HUB_OFFLINE = value
    for name in ("close_session", "reset_sessions"):  # of the client's versions: 1 on, 0
        getattr(client.utils._http, name, lambda: None)()


def model(asked: HubId) -> RemoteModel:
    """What the hub says of the model now. Raises PrepareError, or Unreachable."""
    with refusals(asked):
        api = client.HfApi(endpoint=endpoint())
        found = api.model_info(asked.name, revision=asked.revision, files_metadata=True, timeout=30)
    files = {s.rfilename: _file(s) for s in found.siblings or ()}
    return RemoteModel(found.id, str(found.sha), files)


def _file(sibling: Any) -> RemoteFile:
    etag = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return RemoteFile(sibling.rfilename, sibling.size or 0, etag or "")


def cached(asked: HubId) -> Path | None:
    """The folder of the asked revision as it was last fetched, perhaps in part."""
    with refusals(asked), suppress(errors.LocalEntryNotFoundError):
        found = client.snapshot_download(
            asked.name, revision=asked.revision, cache_dir=cache(), local_files_only=True
        )
        return Path(found)
    return None


def get(asked: HubId, commit: str, file: RemoteFile, sink: Any, start: int) -> None:
    """Write the content of a file from byte `start` on into `sink`, which is at that place."""
    place = {"revision": commit, "endpoint": endpoint()}
    url = client.hf_hub_url(asked.name, file.path, **place)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    with refusals(asked):
        http_get(url, sink, resume_size=start, headers=headers, expected_size=file.size)


def into_snapshot(asked: HubId, revision: str, file: str) -> Path:
    """Lay a file whose content is in the cache into the snapshot of a revision: its path."""
    where: dict[str, Any] = {"cache_dir": cache(), "endpoint": endpoint()}
    with refusals(asked):
        return Path(client.hf_hub_download(asked.name, file, revision=revision, **where))


@contextmanager
def refusals(asked: HubId) -> Iterator[None]:
    """What the client raises becomes a PrepareError."""
    try:
        yield
    except (OSError, ValueError, KeyError, _HTTP) as e:
        own_disk = isinstance(e, OSError) and e.errno and not isinstance(e, ConnectionError)
        if own_disk or isinstance(e, PrepareError):
            raise
        for kind, say in _REFUSALS:
            if isinstance(e, kind):
                raise PrepareError(say(asked)) from e
        raise _unreachable(asked, e) from e


def _unreachable(asked: HubId, e: Exception) -> PrepareError:
    if isinstance(e, errors.OfflineModeIsEnabled):
        return Unreachable(f"{asked}: HF_HUB_OFFLINE is set, so {endpoint()} is not asked")
    status = getattr(getattr(e, "response", None), "status_code", None)
    if status == 401:
        return PrepareError(f"{asked}: {endpoint()} does not know the token that was sent; {_SIGN}")
    if status and status < 500 and status != 429:
        return PrepareError(f"{asked}: {endpoint()} refuses it with HTTP {status}")
    what = f"answers HTTP {status}" if status else f"cannot be reached ({type(e).__name__})"
    return Unreachable(f"{asked}: {endpoint()} {what}. What is downloaded is kept: run it again")


_SIGN = "give one that may read it as HF_TOKEN, or sign in with `hf auth login`"


def _gated(asked: HubId) -> str:
    terms = f"{asked.name} is gated: accept its terms at {endpoint()}/{asked.name}"
    if client.get_token():
        return f"{terms} with the account of the token that was sent, which has no access yet"
    return f"{terms}, and send that account's token: {_SIGN}"


def _missing(asked: HubId) -> str:
    nothing = f"{asked.name}: no such model at {endpoint()}, and no such folder here"
    if client.get_token():
        return f"{nothing}; or the token that was sent may not see it"
    return f"{nothing}; if it is private, send a token: {_SIGN}"


def _no_revision(asked: HubId) -> str:
    return (
        f"{asked.name}: has no revision {asked.revision}; give a branch, a tag or a whole commit of"
        f" {endpoint()}/{asked.name}/commits/main"
    )


_REFUSALS: tuple[tuple[type[Exception], Callable[[HubId], str]], ...] = (
    (errors.GatedRepoError, _gated),
    (errors.RevisionNotFoundError, _no_revision),
    (errors.DisabledRepoError, lambda asked: f"{asked.name}: the hub has disabled this model"),
    (errors.RepositoryNotFoundError, _missing),
    (errors.HFValidationError, lambda asked: f"{asked.name}: not the form of a model's id"),
)
