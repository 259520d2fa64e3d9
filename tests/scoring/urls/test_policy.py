"""What the environment says of URLs."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from onnxferry import scoring
from onnxferry.scoring.urls import Policy
from onnxferry.scoring.urls.location import Location
from tests import tiny


def test_it_is_off_unless_it_is_turned_on() -> None:
    assert Policy.read({"OTHER": "x"}) == Policy()
    assert not Policy().allow
    assert not Policy.read({"ONNXFERRY_URLS_HOSTS": "a.com"}).allow


def test_each_variable_sets_its_field() -> None:
    read = Policy.read(
        {
            "ONNXFERRY_URLS_ALLOW": " True ",
            "ONNXFERRY_URLS_HOSTS": "Images.Example.com, *.b.example ,c.example:8443,",
            "ONNXFERRY_URLS_HTTP": "1",
            "ONNXFERRY_URLS_SECONDS": "20",
            "ONNXFERRY_URLS_BYTES": "1000",
            "ONNXFERRY_URLS_REDIRECTS": "0",
            "ONNXFERRY_URLS_PICTURES": "1",
        }
    )
    hosts = ("images.example.com", "*.b.example", "c.example:8443")
    assert read == Policy(True, hosts, True, 20, 1000, 0, 1)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("ALLOW", ("", "2", "yes", "on"), "must be true or false, got"),
        ("HTTP", ("", "maybe"), "must be true or false, got"),
        (
            "HOSTS",
            (
                *("a", "localhost", "127.0.0.1", "10.0.0.1:80", "[::1]", "*", "*.com*", "a..b"),
                *(
                    "https://a.com",
                    "a.com/b",
                    "a.com:",
                    "a.com:0",
                    "a.com:99999",
                    "a b.com",
                    "ä.com",
                ),
                *("a.*.com", "*a.com", "u@a.com", "-a.com", "a.com;b.com"),
            ),
            r"must list hosts like a\.example, \*\.b\.example or c\.example:8443",
        ),
        ("SECONDS", ("", "0", "301", "1.5", "-1", "ten", "٣"), "must be an integer from 1 to 300"),
        ("BYTES", ("0", "100000001", "9" * 30), "must be an integer from 1 to 100000000"),
        ("REDIRECTS", ("-1", "11"), "must be an integer from 0 to 10"),
        ("PICTURES", ("0", "1001"), "must be an integer from 1 to 1000"),
        ("HOST", ("a.com",), "sets nothing of URLs; known: ONNXFERRY_URLS_ALLOW"),
    ],
)
def test_what_is_wrong_stops_the_load_by_its_name(
    tmp_path: Path, name: str, values: tuple[str, ...], says: str
) -> None:
    folder = tiny.image_classification(tmp_path)
    for value in values:
        with pytest.raises(scoring.ScoringError, match=f"ONNXFERRY_URLS_{name} {says}") as caught:
            scoring.load(folder, {f"ONNXFERRY_URLS_{name}": value})
        assert caught.value.code == "invalid_model"


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        ((), "https://images.example.com/a", True),
        ((), "https://images.example.com:443/a", True),
        ((), "https://images.example.com:8443/a", False),
        (("images.example.com",), "https://IMAGES.example.com/a", True),
        (("images.example.com",), "https://b.images.example.com/a", False),
        (("*.example.com",), "https://a.b.example.com/a", True),
        (("*.example.com",), "https://example.com/a", False),
        (("*.example.com",), "https://anexample.com/a", False),
        (("a.com:8443",), "https://a.com:8443/a", True),
        (("a.com:8443",), "https://a.com/a", False),
        (("*.a.com:8443",), "https://b.a.com:8443/a", True),
        (("xn--bcher-kva.example.com",), "https://bücher.example.com/a", True),
    ],
)
def test_hosts_are_names_or_what_is_below_one(
    hosts: tuple[str, ...], url: str, allowed: bool
) -> None:
    policy = Policy(allow=True, hosts=hosts)
    if allowed:
        assert Location.parse(url, policy).target == "/a"
    else:
        with pytest.raises(scoring.ScoringError, match="not fetched from this host and port"):
            Location.parse(url, policy)


def test_a_model_for_texts_needs_none_of_it(tmp_path: Path) -> None:
    scorer = scoring.load(tiny.text_classification(tmp_path), {"ONNXFERRY_URLS_ALLOW": "true"})
    answer = scorer.handle(scoring.Request(b'{"inputs": "https://a.example/"}'))
    assert answer.status == 200  # a text


def test_the_page_has_the_defaults() -> None:
    page = (Path(__file__).parents[3] / "docs/requests.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `ONNXFERRY_URLS_(\w+)` \|[^|]+\| ([^|]*) \|", page, re.MULTILINE))
    assert set(rows) == {field.name.upper() for field in fields(Policy)}
    for name in ("SECONDS", "BYTES", "REDIRECTS", "PICTURES"):
        assert int(rows[name].replace(",", "")) == getattr(Policy(), name.lower())
