"""Blob storage: containers and block blobs at https://ACCOUNT.blob.core.localhost:PORT, for
azure-storage-blob. A write changes the ETag, also where the bytes stay; conditions (If-Match and
If-None-Match) are checked and obeyed in one step.

Whoever shows a token, an account key or a SAS may do all, except where `denied` or `keyless` says
otherwise. `accounts` is the state: account -> container -> name -> Blob. An account is there once
something has put it there (`create`).
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import formatdate, parsedate_to_datetime
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.fakes.azure.clock import ServerClock
from tests.fakes.azure.http import Answer, Call, Route
from tests.fakes.azure.login import signed_in

HOST = r"(?P<account>[a-z0-9]+)\.blob\.core\.localhost(:\d+)?"
_ACCOUNT = re.compile(HOST, re.IGNORECASE)
_META = "x-ms-meta-"
_SKEW = 900.0  # seconds
_REFUSALS = {
    "nobody": ("NoAuthenticationInformation", "Server failed to authenticate the request."),
    "walled": ("AuthorizationFailure", "This request is not authorized to perform this operation."),
    "denied": (
        "AuthorizationPermissionMismatch",
        "This request is not authorized to perform this operation using this permission.",
    ),
    "old": (
        "AuthenticationFailed",
        "Server failed to authenticate the request. Signature not valid in that time frame.",
    ),
    "keyless": (
        "KeyBasedAuthenticationNotPermitted",
        "Key based authentication is not permitted on this storage account.",
    ),
}
_WRITES = itertools.count(0x8DC5AF3C0000000)


@dataclass
class Blob:
    """A blob's bytes, or its uncommitted `blocks` alone (`data` None) as long as no block list was
    put."""

    data: bytes | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/octet-stream"
    changed: float = field(default_factory=time.time)
    blocks: dict[str, bytes] = field(default_factory=dict)
    etag: str = field(default_factory=lambda: f'"0x{next(_WRITES):X}"')

    @property
    def headers(self) -> dict[str, str]:
        own = {
            "Content-Type": self.content_type,
            "ETag": self.etag,
            "Accept-Ranges": "bytes",
            "Last-Modified": formatdate(self.changed, usegmt=True),
            "x-ms-blob-type": "BlockBlob",
            "x-ms-creation-time": formatdate(self.changed, usegmt=True),
            "x-ms-lease-state": "available",
        }
        return {**own, **{_META + key: value for key, value in self.metadata.items()}}


class FakeBlobs:
    """`denied` are accounts whose blobs a signed-in user may not touch (no data role); `keyless`
    take no key or SAS; `walled` have a firewall that does not let this machine in. A listing has
    `page` entries at most, and goes on at its marker."""

    def __init__(self, clock: ServerClock) -> None:
        self.clock = clock
        self.accounts: dict[str, dict[str, dict[str, Blob]]] = {}
        self.denied: set[str] = set()
        self.keyless: set[str] = set()
        self.walled: set[str] = set()
        self.page = 5000
        self.routes = (
            Route("GET HEAD PUT DELETE", r"/?", self._guarded(self._service), HOST),
            Route(
                "GET HEAD PUT DELETE",
                r"/(?P<container>[^/]+)/?",
                self._guarded(self._container),
                HOST,
            ),
            Route(
                "GET HEAD PUT DELETE",
                r"/(?P<container>[^/]+)/(?P<blob>.+)",
                self._guarded(self._blob),
                HOST,
            ),
        )

    def create(self, account: str, *containers: str) -> None:
        """The account, with these containers; what is there stays."""
        found = self.accounts.setdefault(account, {})
        for container in containers:
            found.setdefault(container, {})

    def is_absent(self, host: str) -> bool:
        """Whether `host` is that of an account that is not there, whose name nobody knows."""
        match = _ACCOUNT.fullmatch(host)
        return match is not None and match["account"].lower() not in self.accounts

    def names(self, account: str, container: str) -> list[str]:
        """The committed blobs."""
        return sorted(
            name
            for name, blob in self.accounts[account][container].items()
            if blob.data is not None
        )

    def _guarded(
        self, answer: Callable[[Call, re.Match[str]], Answer]
    ) -> Callable[[Call, re.Match[str]], Answer]:
        def guarded(call: Call, match: re.Match[str]) -> Answer:
            account = _account(call)
            if account not in self.accounts:
                return _error(404, "ResourceNotFound", f"no account {account}")
            return self._refusal(call, account) or answer(call, match)

        return guarded

    def _refusal(self, call: Call, account: str) -> Answer | None:
        by_token = signed_in(call)
        shown = (
            call.headers.get("authorization", "").startswith("SharedKey ") or "sig" in call.query
        )
        if not by_token and not shown:
            return _error(401, *_REFUSALS["nobody"])
        wrong = {
            "walled": account in self.walled,
            "denied": by_token and account in self.denied,
            "old": not by_token and self._is_old(call),
            "keyless": not by_token and account in self.keyless,
        }
        kind = next((kind for kind, found in wrong.items() if found), "")
        return _error(403, *_REFUSALS[kind]) if kind else None

    def _is_old(self, call: Call) -> bool:
        """Whether a SAS has ended, or a request signed by a key was not made about now."""
        now = self.clock.now()
        if ends := call.query.get("se"):
            return datetime.fromisoformat(ends.replace("Z", "+00:00")).timestamp() < now
        made = call.headers.get("x-ms-date")
        by_key = call.headers.get("authorization", "").startswith("SharedKey ")
        return bool(by_key and made) and abs(_seconds(made or "") - now) > _SKEW

    def _service(self, call: Call, match: re.Match[str]) -> Answer:
        if call.query.get("restype") == "account":
            return Answer(
                200, b"", {"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2"}
            )
        names = "".join(
            f"<Container><Name>{escape(name)}</Name><Properties/></Container>"
            for name in self.accounts[_account(call)]
        )
        return _xml(
            f"<EnumerationResults><Containers>{names}</Containers><NextMarker/></EnumerationResults>"
        )

    def _container(self, call: Call, match: re.Match[str]) -> Answer:
        account, name = self.accounts[_account(call)], match["container"]
        if call.method == "PUT" and call.query.get("comp") is None:
            if name in account:
                return _error(
                    409, "ContainerAlreadyExists", "The specified container already exists."
                )
            account[name] = {}
            return Answer(201, b"", _stamp())
        if name not in account:
            return _no_container()
        if call.query.get("comp") == "list":
            return _listed(account[name], call.query, self.page)
        if call.method == "DELETE":
            del account[name]
            return Answer(202, b"")
        return Answer(200, b"", _stamp())

    def _blob(self, call: Call, match: re.Match[str]) -> Answer:
        container = self.accounts[_account(call)].get(match["container"])
        if container is None:
            return _no_container()
        found = container.get(match["blob"])
        if refusal := _condition(call, found):
            return refusal
        if call.method == "PUT":
            return self._put(call, container, match["blob"])
        if found is None or found.data is None:
            return _no_blob()
        if call.method == "DELETE":
            del container[match["blob"]]
            return Answer(202, b"")
        return _get(call, found)

    def _put(self, call: Call, container: dict[str, Blob], name: str) -> Answer:
        handlers = {"block": _put_block, "blocklist": _put_blocks, "metadata": _put_metadata}
        what = call.query.get("comp", "")
        answer = handlers.get(what, _put_blob)(call, container, name)
        if answer.status >= 300 or what == "block":
            return answer
        container[name].changed = self.clock.now()
        return replace(answer, headers={**answer.headers, **_stamp(container[name])})


def _put_blob(call: Call, container: dict[str, Blob], name: str) -> Answer:
    if call.headers.get("x-ms-blob-type") != "BlockBlob":
        return _error(400, "InvalidHeaderValue", "x-ms-blob-type")
    return _kept(call, container, name, call.body)


def _put_block(call: Call, container: dict[str, Blob], name: str) -> Answer:
    container.setdefault(name, Blob()).blocks[call.query["blockid"]] = call.body
    return Answer(201, b"", {"Content-MD5": base64.b64encode(_md5(call.body)).decode()})


def _put_blocks(call: Call, container: dict[str, Blob], name: str) -> Answer:
    wanted = [item.text or "" for item in ElementTree.fromstring(call.body)]  # noqa: S314
    blocks = container.get(name, Blob()).blocks
    if missing := [block for block in wanted if block not in blocks]:
        return _error(400, "InvalidBlockList", f"{len(missing)} blocks were not put")
    return _kept(call, container, name, b"".join(blocks[block] for block in wanted))


def _put_metadata(call: Call, container: dict[str, Blob], name: str) -> Answer:
    found = container.get(name)
    if found is None or found.data is None:
        return _no_blob()
    container[name] = Blob(found.data, _metadata(call), found.content_type)
    return Answer(200, b"")


def _kept(call: Call, container: dict[str, Blob], name: str, data: bytes) -> Answer:
    kind = call.headers.get("x-ms-blob-content-type") or "application/octet-stream"
    container[name] = Blob(data, _metadata(call), kind)
    return Answer(201, b"")


def _condition(call: Call, found: Blob | None) -> Answer | None:
    there = found is not None and found.data is not None
    if call.query.get("comp") == "block" or (call.method != "PUT" and not there):
        return None
    if call.headers.get("if-none-match") == "*" and there:
        return _error(409, "BlobAlreadyExists", "The specified blob already exists.")
    if "if-match" in call.headers and not (
        there and found and call.headers["if-match"] in ("*", found.etag)
    ):
        return _error(412, "ConditionNotMet", "The condition specified was not met.")
    return None


def _get(call: Call, found: Blob) -> Answer:
    data = found.data or b""
    asked = re.fullmatch(
        r"bytes=(\d+)-(\d*)", call.headers.get("x-ms-range") or call.headers.get("range", "")
    )
    if call.method == "HEAD" or not asked:
        return Answer(200, data, found.headers)
    first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
    if first >= len(data):
        return _error(416, "InvalidRange", "The range specified is invalid.")
    part = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
    return Answer(206, data[first : last + 1], {**found.headers, **part})


def _listed(container: Mapping[str, Blob], query: Mapping[str, str], page: int) -> Answer:
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
    entries: dict[str, str] = {}
    for name, blob in sorted(container.items()):
        if blob.data is None or not name.startswith(prefix):
            continue
        head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if cut:
            folder = prefix + head + cut
            entries[folder] = f"<BlobPrefix><Name>{escape(folder)}</Name></BlobPrefix>"
        else:
            entries[name] = _entry(name, blob, with_metadata="metadata" in query.get("include", ""))
    left = [name for name in entries if name >= query.get("marker", "")]
    blobs = "".join(entries[name] for name in left[:page])
    more = "".join(left[page : page + 1])
    marker = f"<NextMarker>{escape(more)}</NextMarker>"
    asked = f"<Prefix>{escape(prefix)}</Prefix><Delimiter>{delimiter or ''}</Delimiter>"
    return _xml(f"<EnumerationResults>{asked}<Blobs>{blobs}</Blobs>{marker}</EnumerationResults>")


def _entry(name: str, blob: Blob, *, with_metadata: bool) -> str:
    metadata = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in blob.metadata.items())
    return (
        f"<Blob><Name>{escape(name)}</Name><Properties>"
        f"<Last-Modified>{blob.headers['Last-Modified']}</Last-Modified>"
        f"<Etag>{blob.etag.strip(chr(34))}</Etag>"
        f"<Content-Length>{len(blob.data or b'')}</Content-Length>"
        f"<Content-Type>{escape(blob.content_type)}</Content-Type>"
        f"<BlobType>BlockBlob</BlobType></Properties>"
        + (f"<Metadata>{metadata}</Metadata>" if with_metadata else "")
        + "</Blob>"
    )


def _metadata(call: Call) -> dict[str, str]:
    return {
        key.removeprefix(_META): value
        for key, value in call.headers.items()
        if key.startswith(_META)
    }


def _account(call: Call) -> str:
    match = _ACCOUNT.fullmatch(call.host)
    return match["account"].lower() if match else ""


def _stamp(blob: Blob | None = None) -> dict[str, str]:
    blob = blob or Blob(b"")
    return {"ETag": blob.etag, "Last-Modified": formatdate(blob.changed, usegmt=True)}


def _no_container() -> Answer:
    return _error(404, "ContainerNotFound", "The specified container does not exist.")


def _no_blob() -> Answer:
    return _error(404, "BlobNotFound", "The specified blob does not exist.")


def _error(status: int, code: str, message: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, _text(body), {"x-ms-error-code": code, "Content-Type": "application/xml"})


def _xml(body: str) -> Answer:
    return Answer(200, _text(body), {"Content-Type": "application/xml"})


def _text(body: str) -> bytes:
    return b'<?xml version="1.0" encoding="utf-8"?>' + body.encode()


def _seconds(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
