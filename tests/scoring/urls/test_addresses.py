"""Which addresses are public: by the table, whatever the Python's own knows."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from onnxferry.scoring.urls import addresses
from onnxferry.scoring.urls.addresses import is_public
from tests.scoring.urls.test_hostile_urls import FORBIDDEN

PUBLIC = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 20.50.2.1 100.63.255.255 100.128.0.0 126.255.255.255
    128.0.0.1 168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0
    192.0.1.0 192.0.3.1 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 203.0.114.1
    223.255.255.255 2001:200::1 2001:4860:4860::8888 2003::1 2600:1f18::1 2606:4700:4700::1111
    2a00:1450:4001::1 2c0f::1
"""


@pytest.mark.parametrize("known", [True, False], ids=["Python's too", "the table alone"])
def test_special_addresses_are_not(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table suffices where ipaddress knows none."""
    if not known:
        for kind in (ipaddress.IPv4Address, ipaddress.IPv6Address):
            monkeypatch.setattr(kind, "is_global", True)
    assert [text for text in FORBIDDEN.split() if is_public(text)] == []
    ends = [
        *(str(network[i]) for network in addresses._REFUSED_4 for i in (0, -1)),
        *(str(network[i]) for network in addresses._REFUSED_6 for i in (0, -1)),
    ]
    assert [text for text in ends if is_public(text)] == []


def test_all_others_are() -> None:
    assert [text for text in PUBLIC.split() if not is_public(text)] == []


def test_the_table_has_all_that_python_calls_special(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is_global refuses beyond it would have another answer on another Python."""
    some = [f"{first}.{second}.0.1" for first in range(256) for second in range(0, 256, 4)]
    special = [text for text in some if not ipaddress.ip_address(text).is_global]
    monkeypatch.setattr(ipaddress.IPv4Address, "is_global", True)
    assert len(special) > 1000
    assert [text for text in special if is_public(text)] == []


def test_the_pages_table_is_this_one() -> None:
    page = (Path(__file__).parents[3] / "docs/requests.md").read_text(encoding="utf-8")
    for name in ("168.63.129.16", "169.254.169.254", "64:ff9b::/96", "2002::/16"):
        assert name in page
