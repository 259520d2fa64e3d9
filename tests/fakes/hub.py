"""The hub of models on loopback: a real HTTP server with the answers, headers and refusals that the
hub's own client relies on. Large files lie at a second host, by signed addresses, as at the hub."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from huggingface_hub import constants

Files = Mapping[str, bytes]
LARGE = (".safetensors", ".bin", ".onnx", ".onnx_data", ".data", ".h5", ".msgpack", ".ot", ".model")
_BLOCK = 1 << 14
_ID = r"(?P<id>[\w.-]+(?:/[\w.-]+)?)"
_INFO = re.compile(rf"/api/models/{_ID}(?:/revision/(?P<revision>[^/]+))?")
_TREE = re.compile(rf"/api/models/{_ID}/tree/(?P<revision>[^/]+)")
_FILE = re.compile(rf"/{_ID}/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


@dataclass(frozen=True)
class Call:
    """One request; `host` is "hub" or "cdn", the keys of `headers` are lower-cased."""

    host: str
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class Model:
    """`commits` by their 40 digits; `refs` are branches and tags. `allowed`: the tokens that may
    read the files of a gated model, or see a private one; None: it is open."""

    commits: dict[str, Files] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    allowed: frozenset[str] | None = None
    private: bool = False


@dataclass
class Hold:
    """Where a body stops, and until when: `reached` is set there, `release` by the test. `drop`
    ends the connection instead, once."""

    after: int
    drop: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def _refusal(status: int, code: str, message: str) -> Answer:
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return Answer(status, json.dumps({"error": message}).encode(), headers)


def blob_id(data: bytes) -> str:
    """As git names a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324


def content(folder: Path) -> dict[str, bytes]:
    """The files of a folder, to push."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


class HubDouble:
    """The hub, from `with` to its end. `calls` are all that it was asked; with `status` it
    refuses all."""

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}
        self.moved: dict[str, str] = {}  # an older id -> the model's
        self.tokens: set[str] = set()
        self.calls: list[Call] = []
        self.holds: dict[str, Hold] = {}
        self.status: int | None = None
        self._signed: dict[str, tuple[str, bytes]] = {}  # signature -> name and content
        self._servers = {host: _server(self, host) for host in ("hub", "cdn")}
        self.url = f"http://127.0.0.1:{self._servers['hub'].server_port}"
        self._cdn = f"http://localhost:{self._servers['cdn'].server_port}"

    def connect(self, patch: pytest.MonkeyPatch, home: Path) -> None:
        """Lead the hub's client of this process here, and its cache below `home`, both as its
        variables do for a process that starts."""
        patch.setenv("HF_ENDPOINT", self.url)
        patch.setenv("HF_HOME", str(home))
        patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            patch.delenv(name, raising=False)

    def push(self, name: str, files: Files, ref: str = "main") -> str:
        """Commit `files` as the whole of a branch or a tag, and return the commit."""
        model = self.models.setdefault(name, Model())
        parent = model.refs.get(ref, "")
        parts = (parent, *(f"{path} {blob_id(data)}" for path, data in sorted(files.items())))
        commit = hashlib.sha1("\n".join(parts).encode()).hexdigest()  # noqa: S324
        model.commits[commit], model.refs[ref] = dict(files), commit
        return commit

    def sent(self, method: str = "GET") -> list[str]:
        """The names of the files whose content was asked for, in order."""
        found = []
        for call in self.calls:
            match = _FILE.fullmatch(call.path)
            if call.host == "hub" and call.method == method and match:
                found.append(unquote(match["file"]))
        return found

    def ranges(self) -> list[str]:
        """The Range headers that the second host was sent; "" for none."""
        calls = (call for call in self.calls if call.host == "cdn" and call.method == "GET")
        return [call.headers.get("range", "") for call in calls]

    def __enter__(self) -> HubDouble:
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        for hold in self.holds.values():
            hold.release.set()
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def answer(self, call: Call, query: str) -> Answer:
        """What goes back, of a body in whole."""
        if call.host == "cdn":
            return self._signed_file(call, query)
        if self.status:
            return Answer(self.status, b"<html>sorry</html>")
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            return _refusal(401, "", "Invalid credentials in Authorization header")
        for pattern, handle in ((_INFO, self._info), (_TREE, self._tree), (_FILE, self._file)):
            if match := pattern.fullmatch(call.path):
                return self._of_model(match, handle, token, query)
        return _refusal(404, "", "Sorry, we can't find the page you are looking for.")

    def _of_model(self, match: re.Match[str], handle: Any, token: str, query: str) -> Answer:
        name = match["id"]
        if new := self.moved.get(name):
            place = match.string.replace(name, new, 1) + (f"?{query}" if query else "")
            return Answer(307, b"", {"Location": place})
        model = self.models.get(name)
        hidden = model is None or (model.private and token not in (model.allowed or ()))
        if model is None or hidden:
            known = token in self.tokens
            said = "Repository not found" if known else "Invalid username or password."
            return _refusal(404 if known else 401, "RepoNotFound", said)
        wanted = unquote(match["revision"] or "main")
        commit = model.refs.get(wanted, wanted)
        if commit not in model.commits:
            return _refusal(404, "RevisionNotFound", f"Invalid rev id: {wanted}")
        result: Answer = handle(match, model, commit, token)
        return result

    def _info(self, match: re.Match[str], model: Model, commit: str, token: str) -> Answer:
        siblings = [
            {"rfilename": path, **_stored(path, data)}
            for path, data in sorted(model.commits[commit].items())
        ]
        gated = "manual" if model.allowed is not None and not model.private else False
        names = {"_id": "0" * 24, "id": match["id"], "modelId": match["id"], "sha": commit}
        flags = {"private": model.private, "gated": gated, "disabled": False}
        return _json({**names, **flags, "siblings": siblings, "tags": [], "downloads": 0})

    def _tree(self, match: re.Match[str], model: Model, commit: str, token: str) -> Answer:
        rows = [
            {"type": "file", "path": path, "oid": blob_id(data), **_stored(path, data)}
            for path, data in sorted(model.commits[commit].items())
        ]
        return _json(rows)

    def _file(self, match: re.Match[str], model: Model, commit: str, token: str) -> Answer:
        if model.allowed is not None and token not in model.allowed:
            said = f"Access to model {match['id']} is restricted"
            more = "and you are not in the authorized list" if token else "please log in"
            return _refusal(403 if token else 401, "GatedRepo", f"{said} {more}.")
        path, headers = unquote(match["file"]), {"X-Repo-Commit": commit}
        data = model.commits[commit].get(path)
        if data is None:
            missing = _refusal(404, "EntryNotFound", "Entry not found")
            return Answer(404, missing.body, {**missing.headers, **headers})
        if not path.endswith(LARGE):
            return Answer(200, data, {**headers, "ETag": f'"{blob_id(data)}"'})
        digest, signature = hashlib.sha256(data).hexdigest(), secrets.token_hex(8)
        self._signed[signature] = path, data
        linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))}
        place = f"{self._cdn}/{digest}?signature={signature}"
        return Answer(302, b"", {**headers, **linked, "ETag": '"of-the-link"', "Location": place})

    def _signed_file(self, call: Call, query: str) -> Answer:
        if "authorization" in call.headers:
            return Answer(400, b"<Error>Only one auth mechanism allowed</Error>")
        signature = parse_qs(query).get("signature", [""])[0]
        if signature not in self._signed:
            return Answer(403, b"<Error>AccessDenied</Error>")
        data = self._signed[signature][1]
        return Answer(200, data, {"ETag": f'"{hashlib.md5(data).hexdigest()}"'})  # noqa: S324

    def hold_of(self, call: Call, query: str) -> Hold | None:
        """Where the body that answers `call` stops."""
        if call.host == "cdn":
            name = self._signed[parse_qs(query)["signature"][0]][0]
        else:
            match = _FILE.fullmatch(call.path)
            name = unquote(match["file"]) if match else ""
        hold = self.holds.get(name)
        return self.holds.pop(name) if hold and hold.drop else hold


def _stored(path: str, data: bytes) -> dict[str, Any]:
    """A file as listings with blobs=true tell of it."""
    found: dict[str, Any] = {"size": len(data), "blobId": blob_id(data)}
    if path.endswith(LARGE):
        digest = hashlib.sha256(data).hexdigest()
        found["lfs"] = {"sha256": digest, "oid": digest, "size": len(data), "pointerSize": 134}
    return found


def _json(data: Any) -> Answer:
    return Answer(200, json.dumps(data).encode(), {"Content-Type": "application/json"})


def _server(hub: HubDouble, host: str) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answered()

        def do_HEAD(self) -> None:
            self._answered()

        def _answered(self) -> None:
            parts = urlsplit(self.path)
            call = Call(host, self.command, parts.path, _lower(self.headers))
            hub.calls.append(call)
            answer = hub.answer(call, parts.query)
            file = answer.status == 200 and (host == "cdn" or "ETag" in answer.headers)
            answer = _part(answer, call.headers.get("range", "")) if file else answer
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command == "GET":
                self._send(answer.body, hub.hold_of(call, parts.query) if file else None)

        def _send(self, body: bytes, hold: Hold | None) -> None:
            try:
                for start in range(0, len(body), _BLOCK):
                    if hold and not hold.release.is_set() and start >= hold.after:
                        hold.reached.set()
                        if hold.drop:
                            self.close_connection = True
                            self.connection.close()
                            return
                        hold.release.wait(60)
                    self.wfile.write(body[start : start + _BLOCK])
                    self.wfile.flush()
            except OSError:  # the client has gone
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


def _lower(headers: Message) -> dict[str, str]:
    return {key.lower(): value for key, value in headers.items()}


def _part(answer: Answer, asked: str) -> Answer:
    """What `bytes=START-END` asks for, 206, or 416 past the end."""
    total = len(answer.body)
    headers = {**answer.headers, "Accept-Ranges": "bytes"}
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
    if not match:
        return Answer(200, answer.body, headers)
    start, end = int(match[1]), int(match[2] or total - 1)
    if start >= total:
        return Answer(416, b"", {**headers, "Content-Range": f"bytes */{total}"})
    headers["Content-Range"] = f"bytes {start}-{min(end, total - 1)}/{total}"
    return Answer(206, answer.body[start : end + 1], headers)
