"""Networks as companies have them: through a proxy, with certificates of their own, and what a
connection that fails says."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import certifi
import pytest
import trustme

from onnxferry.infra import errors
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.clients.azure import AzureSession, azure_environment, credential
from onnxferry.infra.clients.azure_blobs import BlobContainer
from onnxferry.infra.clients.azure_groups import Groups
from onnxferry.infra.clients.azure_http import post
from onnxferry.infra.clients.azure_quota import MACHINE_LEARNING, AzureQuota
from onnxferry.infra.clients.connections import BUNDLES, certificates
from onnxferry.infra.clients.function_host import host_state
from onnxferry.infra.clients.scm import Scm
from onnxferry.infra.errors import CloudError
from onnxferry.scoring.wire import Request
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.http import Answer, Route
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.quotas import Quotas
from tests.fakes.proxy import ConnectProxy
from tests.infra.sagemaker.conftest import no_pauses

STS = "sts.eu-west-1.amazonaws.com"
WHO = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/me</Arn><Account>123456789012</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""
PLAIN = (
    *BUNDLES,
    "AWS_CA_BUNDLE",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """Set variables; nothing of the tester's own network is there."""
    for name in PLAIN:
        monkeypatch.delenv(name, raising=False)

    def put(given: Mapping[str, str]) -> None:
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.fixture(scope="module")
def azure() -> Iterator[AzureFake]:
    with AzureFake() as fake:
        fake.arm.add(*resources.TYPES)
        fake.blobs.create("acc", "box")
        Quotas(fake)
        up = {"state": "Running"}
        for host in (r"squad\.azurewebsites\.localhost:\d+", r"squad\.scm\.localhost:\d+"):
            fake.add(Route("GET POST", r"/.*", lambda call, match: Answer(200, up), host))
        yield fake


@pytest.fixture(scope="module")
def sts() -> Iterator[tuple[int, bytes]]:
    """AWS's STS under its own name, on loopback: its port and its authority's certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(STS).configure_cert(context)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sts)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], authority.cert_pem.bytes()
    server.shutdown()
    server.server_close()


class _Sts(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(WHO)))
        self.end_headers()
        self.wfile.write(WHO)

    def log_message(self, *args: Any) -> None:
        pass


def session() -> AzureSession:
    where = azure_environment()
    return AzureSession(where, credential(where), SUBSCRIPTION, interval=0.01)


CALLS: dict[str, Callable[[AzureFake], Any]] = {
    "metadata": lambda azure: azure_environment(),
    "sign-in": lambda azure: session().token(),
    "resource manager": lambda azure: Groups(session()).create("rg", "westeurope", {}),
    "blobs": lambda azure: blobs(azure).write_text("a", "b", ""),
    "quotas": lambda azure: AzureQuota(session(), "westeurope").usages(MACHINE_LEARNING),
    "SCM": lambda azure: Scm(session(), "squad", f"squad.scm.localhost:{azure.port}").latest(),
    "endpoint": lambda azure: post(f"{site(azure)}/api/score", Request(b"{}"), {}, 30).status_code,
    "Functions host": lambda azure: host_state(site(azure).removeprefix("https://"), {}),
}


def blobs(azure: AzureFake) -> BlobContainer:
    return BlobContainer(session(), f"https://acc.blob.{azure.storage_suffix}", "box")


def site(azure: AzureFake) -> str:
    return f"https://squad.azurewebsites.localhost:{azure.port}"


def known(azure: AzureFake, *bundles: str) -> dict[str, str]:
    """The fake's variables, with its certificates in `bundles` only."""
    own = {key: v for key, v in azure.environment().items() if key not in BUNDLES}
    return {**own, **dict.fromkeys(bundles, str(azure.certificates))}


@pytest.mark.parametrize("bundle", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("name", CALLS)
def test_azure_through_a_proxy(
    azure: AzureFake, variables: Callable[[Mapping[str, str]], None], name: str, bundle: str
) -> None:
    with ConnectProxy(lambda host, port: ("127.0.0.1", azure.port)) as proxy:
        variables({**known(azure, bundle), **proxy.environment()})
        azure.restart_counting()
        assert CALLS[name](azure) is not False
        assert azure.calls
        assert {call.host.partition(":")[0] for call in azure.calls} == set(proxy.hosts)


@pytest.mark.parametrize("bundle", ["REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"])
def test_aws_through_a_proxy(
    sts: tuple[int, bytes],
    variables: Callable[[Mapping[str, str]], None],
    tmp_path: Path,
    bundle: str,
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(sts[1])
    with ConnectProxy(lambda host, port: ("127.0.0.1", sts[0])) as proxy:
        variables({**signed_in(tmp_path), **proxy.environment(), bundle: str(file)})
        assert AwsClients(None, "eu-west-1").account == "123456789012"
        assert proxy.hosts == [STS]


def signed_in(folder: Path) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
    files = {f"AWS_{name}_FILE": str(folder / "none") for name in ("CONFIG", "SHARED_CREDENTIALS")}
    return {**keys, **files, "AWS_STS_REGIONAL_ENDPOINTS": "regional"}


def failure(act: Callable[[], Any], kind: type[CloudError] = CloudError) -> str:
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sign-in has no setting for its pauses before another try."""
    pauses = SimpleNamespace(sleep=lambda seconds: None)
    monkeypatch.setattr("azure.core.pipeline.transport._base.time", pauses)


@pytest.fixture
def here(variables: Callable[[Mapping[str, str]], None], azure: AzureFake) -> AzureFake:
    """The fake, directly reached, and trusted."""
    variables(known(azure, "SSL_CERT_FILE"))
    return azure


def test_a_certificate_that_is_not_trusted(
    azure: AzureFake, variables: Callable[[Mapping[str, str]], None]
) -> None:
    said = "certificate is not trusted (unable to get local issuer certificate)"
    variables(known(azure, "SSL_CERT_FILE"))
    trusting = session()
    os.environ.pop("SSL_CERT_FILE")
    assert certificates() == certifi.where()
    direct = f"https://localhost:{azure.port}"
    assert said in failure(lambda: post(direct, Request(b""), {}, 5), errors.InvokeFailed)
    assert said in host_state(f"localhost:{azure.port}", {})
    assert said in failure(azure_environment, errors.Unavailable)
    assert said in failure(lambda: Groups(trusting).get("rg"), errors.Unavailable)
    assert "REQUESTS_CA_BUNDLE" in failure(lambda: Groups(trusting).get("rg"))


def test_aws_says_that_a_certificate_is_not_trusted(
    sts: tuple[int, bytes], variables: Callable[[Mapping[str, str]], None], tmp_path: Path
) -> None:
    with ConnectProxy(lambda host, port: ("127.0.0.1", sts[0])) as proxy, no_pauses():
        variables({**signed_in(tmp_path), **proxy.environment()})
        text = failure(lambda: AwsClients(None, "eu-west-1").account, errors.Unavailable)
    assert "unable to get local issuer certificate" in text


def test_a_name_that_is_not_known(here: AzureFake, monkeypatch: pytest.MonkeyPatch) -> None:
    trusting = session()

    def unknown(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for text in (
        failure(lambda: post("https://squad.localhost", Request(b""), {}, 5)),
        failure(lambda: Groups(trusting).get("rg"), errors.Unavailable),
        host_state("squad.localhost", {}),
    ):
        assert "the name is not known here" in text


def test_a_storage_account_whose_name_is_not_known_is_absent(
    here: AzureFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = blobs(here)
    real = socket.getaddrinfo

    def unknown(host: str, *args: Any, **options: Any) -> Any:
        if ".blob." in host:
            raise socket.gaierror(-2, "Name or service not known")
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for act in (lambda: absent.read_text("a"), lambda: absent.write_text("a", "b", "")):
        assert "the name is not known here" in failure(act, errors.NotFound)


def test_nobody_listens(here: AzureFake) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    assert "the connection was refused" in failure(
        lambda: post(f"https://localhost:{port}", Request(b""), {}, 5)
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("407 Proxy Authentication Required", "the proxy wants a name and a password"),
        ("403 Forbidden", "the proxy does not let it through"),
    ],
)
def test_a_proxy_that_refuses(
    azure: AzureFake, variables: Callable[[Mapping[str, str]], None], line: str, said: str
) -> None:
    variables(known(azure, "SSL_CERT_FILE"))
    trusting = session()
    with ConnectProxy(lambda host, port: ("127.0.0.1", azure.port)) as proxy:
        proxy.refusal = line
        variables(proxy.environment())
        assert said in failure(lambda: post(site(azure), Request(b""), {}, 5))
        assert said in failure(lambda: Groups(trusting).get("rg"), errors.Unavailable)


@pytest.mark.parametrize("name", BUNDLES)
def test_a_file_of_certificates_that_is_not_there_is_told(
    here: AzureFake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    for other in BUNDLES:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, str(tmp_path / "none.pem"))
    assert f"{name}={tmp_path / 'none.pem'}: no such file" in failure(azure_environment)
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    monkeypatch.setenv(name, str(empty))
    assert f"{empty}: holds no certificates" in failure(azure_environment)
