"""URLs that an attacker would send. None reaches a socket, nor, unless its name looks like a public
host's, a server of names; the error says what is wrong, and nothing of what is inside."""

from __future__ import annotations

import pytest

from onnxferry.scoring.urls.visit import Network
from tests.scoring.urls.conftest import Watch
from tests.scoring.urls.serving import Host, Resolver, policy

GOOD = "images.example.com"
SCHEMES = """
    file:///etc/passwd file://localhost/etc/passwd FILE:///etc/passwd file:/etc/passwd
    ftp://images.example.com/a.png gopher://127.0.0.1:6379/_INFO dict://127.0.0.1:11211/stats
    ldap://127.0.0.1/ tftp://127.0.0.1/a sftp://images.example.com/a ssh://images.example.com
    jar:https://images.example.com/a.jar!/a.png javascript:alert(1) netdoc:///etc/passwd
    php://filter/resource=/etc/passwd blob:https://images.example.com/1 about:blank
    view-source:https://images.example.com/a.png ws://images.example.com/a unix:///run/docker.sock
    http+unix://%2Frun%2Fdocker.sock/info https+http://images.example.com/a httpss://a.example.com/a
    http://images.example.com/a.png HTTP://images.example.com/a.png mailto:a@images.example.com
    data:image/png;base64,iVBORw0KGgo= data:image/svg+xml,<svg/> DATA:text/html,x data:,
    s://images.example.com/a http,https://images.example.com/a
    https:images.example.com/a.png https:/images.example.com/a.png https:///images.example.com/a.png
    //images.example.com/a.png /a.png a.png https: https:// https
"""
ODD = [
    "",
    " ",
    f" https://{GOOD}/a",
    f"https://{GOOD}/a b",
    f"https://{GOOD}/a\tb",
    f"https://{GOOD}\r\nHost: 127.0.0.1/a",
    f"https://{GOOD}/a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /",
    f"https://{GOOD}/a\r\nX-Injected: 1",
    f"https://{GOOD}/a\n",
    f"ht\ntps://{GOOD}/a",
    f"\x00https://{GOOD}/a",
    f"https://{GOOD}\x00.evil.com/a",
    f"https://127.0.0.1\x00.{GOOD}/a",
    f"https://{GOOD}/\x7f",
    f"https://{GOOD}/\x85",
    f"https://{GOOD}\xa0/a",
    f"https://{GOOD}\u2028/a",
    f"\ufeffhttps://{GOOD}/a",
    "https://ima\u200bges.example.com/a",
    "https://ima\u00adges.example.com/a",
    f"https://{GOOD}/\ud800",
    f"https://{GOOD}\\@127.0.0.1/a",
    f"https:\\\\{GOOD}\\a",
    f"https://127.0.0.1\\.{GOOD}/a",
    f"https://{GOOD}/" + "a" * 5000,
]
USERINFO = f"""
    https://user:password@{GOOD}/a https://user@{GOOD}/a https://@{GOOD}/a https://:@{GOOD}/a
    https://{GOOD}@127.0.0.1/a https://{GOOD}:443@169.254.169.254/a https://{GOOD}%40127.0.0.1/a
    https://127.0.0.1@{GOOD}/a https://a@b@{GOOD}/a https://{GOOD}:a@[::1]/a
    https://{GOOD}#@127.0.0.1/a https://{GOOD}?@127.0.0.1/a https://127.0.0.1#.{GOOD}/a
    https://127.0.0.1?.{GOOD}/a https://127.0.0.1;.{GOOD}/a https://127.0.0.1&@{GOOD}/a
    https://127.0.0.1,{GOOD}/a https://{GOOD} https://{GOOD}?a https://{GOOD}#a
"""
ENCODED = f"""
    https://%31%32%37.0.0.1/a https://127%2e0%2e0%2e1/a https://images%2eexample%2ecom/a
    https://{GOOD}%2f@127.0.0.1/a https://%6c%6f%63%61%6c%68%6f%73%74/a https://{GOOD}%00/a
    https://{GOOD}%23.evil.com/a https://%/a https://{GOOD}%0d%0aHost:127.0.0.1/a
"""
NUMBERS = """
    https://127.0.0.1/a https://127.0.0.1:443/a https://127.0.0.1./a https://2130706433/a
    https://2852039166/a https://0x7f000001/a https://0x7f.0.0.1/a https://0X7F.1/a
    https://0177.0.0.1/a https://017700000001/a https://00000177.0.0.1/a https://127.1/a
    https://127.0.1/a https://0/a https://0.0.0.0/a https://00.0.0.0/a https://169.254.169.254/a
    https://0xa9fea9fe/a https://0251.0376.0251.0376/a https://169.254.43518/a https://10.0.0.1/a
    https://192.168.1.1/a https://172.16.0.1/a https://1.1.1.1/a https://127.0.0.0x1/a
    https://127.0.0.1.5/a https://4294967297/a https://6425673729/a https://256.256.256.256/a
    https://0x/a https://1.0x/a https://images.0x7f/a https://images.1/a https://168.63.129.16/a
    https://１２７.0.0.1/a https://①②⑦.0.0.1/a https://127。0。0。1/a https://127｡0｡0｡1/a
    https://１６９．２５４．１６９．２５４/a https://0ｘ7f.1/a https://127.0.0.1%2f/a
"""
IPV6 = """
    https://[::1]/a https://[::1]:443/a https://[::]/a https://[0:0:0:0:0:0:0:1]/a
    https://[::ffff:127.0.0.1]/a https://[::ffff:7f00:1]/a https://[::ffff:0:127.0.0.1]/a
    https://[::127.0.0.1]/a https://[::ffff:a9fe:a9fe]/a https://[64:ff9b::7f00:1]/a
    https://[64:ff9b:1::7f00:1]/a https://[2002:7f00:1::]/a https://[2001:0:7f00:1::]/a
    https://[fd00:ec2::254]/a https://[fe80::1]/a https://[fe80::1%25eth0]/a https://[fe80::1%eth0]/a
    https://[::1%25lo]/a https://[fc00::1]/a https://[ff02::1]/a https://[2606:4700:4700::1111]/a
    https://[::1].images.example.com/a https://[images.example.com]/a https://[::1/a https://::1]/a
    https://::1/a https://::1:443/a https://[v1.fe80::a]/a https://[]/a https://[::1]@a.example.com/a
"""
LONG = ".".join(["a" * 60] * 5)
NAMES = f"""
    https://localhost/a https://LOCALHOST/a https://localhost:443/a https://localhost./a
    https://localhost.localdomain/a https://images.localhost/a https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/a
    https://metadata/a https://metadata.google.internal/a https://kubernetes/a
    https://kubernetes.default.svc.cluster.local/a https://host.docker.internal/a
    https://router.lan/a https://printer.local/a https://a.home.arpa/a https://a.onion/a
    https://1.0.0.127.in-addr.arpa/a https://a.test/a https://a.invalid/a https://a.example/a
    https://intranet.corp/a https://{GOOD}./a https://{GOOD}../a https://.{GOOD}/a
    https://images..example.com/a https://-images.example.com/a https://images-.example.com/a
    https://{"a" * 64}.example.com/a https://{LONG}.example.com/a https://./a https://../a
    https://*.example.com/a https://ima$ges.example.com/a https://images.example.com,b.com/a
    https://images.example.com|b/a https://faß.example.com/a https://xn--{"a" * 60}.example.com/a
"""
PORTS = f"""
    https://{GOOD}:22/a https://{GOOD}:80/a https://{GOOD}:6379/a https://{GOOD}:8443/a
    https://{GOOD}:0/a https://{GOOD}:65536/a https://{GOOD}:65979/a https://{GOOD}:99999999999/a
    https://{GOOD}:-1/a https://{GOOD}:+443/a https://{GOOD}:0443/a https://{GOOD}:0x1bb/a
    https://{GOOD}:443:443/a https://{GOOD}:/a https://{GOOD}:443a/a https://{GOOD}:４４３/a
    https://{GOOD}:443.evil.com/a
"""
OTHERS = f"""
    https://evil.com/a https://evil.com/{GOOD} https://evil.com/?{GOOD} https://{GOOD}.evil.com/a
    https://evil{GOOD}/a https://example.com/a https://evilexample.org/a https://example.org/a
    https://example.org.evil.com/a https://ımages.example.com/a https://xn--mages-q4a.example.com/a
"""
HOSTILE = {
    "schemes": SCHEMES.split(),
    "odd characters": ODD,
    "sign-ins": USERINFO.split(),
    "encoded hosts": ENCODED.split(),
    "numbers": NUMBERS.split(),
    "IPv6": IPV6.split(),
    "names": NAMES.split(),
    "ports": PORTS.split(),
}
ALL = [url for urls in HOSTILE.values() for url in urls]
REFUSED = {"invalid_url": 400, "url_not_allowed": 403}
SECRETS = ("passw", "127", "169.254", "evil", "::1", "/a")


def check_refused(host: Host, url: str) -> None:
    """That the answer to `url` is a clear error that repeats nothing of it."""
    status, told = host.ask(url)
    error = told["error"]
    assert REFUSED.get(error["code"]) == status, url
    assert error["message"].startswith("'img': "), url
    assert len(error["message"]) < 200, url
    assert not any(secret in error["message"] for secret in SECRETS), url


@pytest.mark.parametrize("kind", HOSTILE)
def test_it_is_refused_before_anything_is_asked(host: Host, watch: Watch, kind: str) -> None:
    host.allow(policy(8443, hosts=()), resolver := Resolver())
    for url in HOSTILE[kind]:
        check_refused(host, url)
        assert (watch.connected, watch.looked_up, resolver.asked) == ([], [], []), url


def test_the_lists_are_long() -> None:
    assert len({*ALL, *OTHERS.split()}) > 200


def test_a_list_of_hosts_lets_nothing_else_through(host: Host, watch: Watch) -> None:
    host.allow(policy(8443, hosts=(GOOD, "*.example.org", "*.b.com")), resolver := Resolver())
    for url in (*ALL, *OTHERS.split()):
        check_refused(host, url)
    assert (watch.connected, watch.looked_up, resolver.asked) == ([], [], [])


def test_the_same_as_inputs_of_json(host: Host, watch: Watch) -> None:
    """Where a text without a scheme is base64."""
    host.allow(policy(8443, hosts=()), resolver := Resolver())
    for url in (url for url in ALL if not url.startswith("data:")):
        status, told = host.score([url])
        assert status in (400, 403), url
        assert told["error"]["message"].startswith("'inputs[0]'"), url
    assert (watch.connected, watch.looked_up, resolver.asked) == ([], [], [])


FORBIDDEN = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254
    168.63.129.16 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.9
    192.0.0.170 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.1 192.175.48.1
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1
    255.255.255.255 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1
    64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 100::1 2001::1 2001:0:4136:e378::1 2001:2::1
    2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe:: 2620:4f:8000::1 3ffe::1 3fff::1
    5f00::1 fc00::1 fd00:ec2::254 fd20:ce::254 fe80::1 fe80::1%eth0 fe80::1%1 fec0::1 ff02::1
    4000::1 localhost nonsense 127.1 2130706433
"""


@pytest.mark.parametrize("others", [(), ("8.8.8.8",)], ids=["alone", "beside a public one"])
def test_a_name_with_a_forbidden_address_is_not_connected_to(
    host: Host, watch: Watch, others: tuple[str, ...]
) -> None:
    """With the real check of addresses. Whether it is that, or no name at all, is not told."""
    says = f"'img': the picture at {GOOD} was not fetched: the host's name has no public address"
    for addresses in ([], *([*others, address] for address in FORBIDDEN.split())):
        network = Network(Resolver({GOOD: [addresses]}))
        status, told = host.allow(policy(443), network).ask(f"https://{GOOD}/a?token=secret")
        assert (status, told["error"]) == (424, {"code": "fetch_failed", "message": says})
        assert watch.connected == [], addresses
