"""What one request may cost: checked before the work, named in the message, set by the spec or by
the deployment."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from onnxferry import scoring
from onnxferry.scoring.limits import Limits
from tests import tiny

ROOT = Path(__file__).parents[2]


def refusal(scorer: scoring.Scorer, body: bytes, content_type: str = "application/json") -> str:
    response = scorer.handle(scoring.Request(body, content_type))
    error = json.loads(response.body)["error"]
    assert (response.status, error["code"]) == (413, "too_large")
    return str(error["message"])


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "limit", "body", "what"),
    [
        ("body_bytes", 20, b'{"inputs": "good day"}', "the body has 22 bytes"),
        ("items", 2, b'{"inputs": ["a", "a", "a"]}', "'inputs' has 3 items"),
        ("items", 2, b"text\ngood\nbad\na\n", "'inputs' has 3 items"),
        ("tokens", 4, b'{"inputs": ["a", "a very good"]}', "'inputs[1]' has 5 tokens"),
    ],
)
def test_each_limit_is_named_with_the_way_to_raise_it(
    tmp_path: Path, name: str, limit: int, body: bytes, what: str
) -> None:
    folder = tiny.text_classification(tmp_path)
    variable = f"ONNXFERRY_LIMIT_{name.upper()}"
    content_type = "text/csv" if body.startswith(b"text") else "application/json"
    message = refusal(scoring.load(folder, {variable: str(limit)}), body, content_type)
    assert (
        message
        == f"{what}; this model takes at most {limit} (limits.{name}); a host sets it by {variable}"
    )
    assert scoring.load(folder, {}).handle(scoring.Request(body, content_type)).status == 200


def test_pixels_are_counted_before_the_picture_is_decoded(tmp_path: Path) -> None:
    scorer = scoring.load(tiny.image_classification(tmp_path), {"ONNXFERRY_LIMIT_PIXELS": "99"})
    assert "the picture has 10x10 pixels; this model takes at most 99 (limits.pixels)" in refusal(
        scorer, png(10, 10), "image/png"
    )


def test_a_deployment_raises_or_lowers_what_the_spec_says(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path, limits=Limits(items=2, tokens=50))
    limits = scoring.load(folder, {"ONNXFERRY_LIMIT_ITEMS": " 7 ", "OTHER": "x"}).spec.limits
    assert limits == Limits(items=7, tokens=50)


def test_the_hosts_environment_counts_by_itself(tmp_path: Path) -> None:
    """In a process of its own, as a host has it."""
    code = "import sys; from onnxferry.scoring import load; print(load(sys.argv[1]).spec.limits)"
    folder = tiny.text_classification(tmp_path)
    environment = {**os.environ, "ONNXFERRY_LIMIT_ITEMS": "1"}
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert b"items=1," in done.stdout


@pytest.mark.parametrize("value", ["", "0", "-1", "many", "1.5", "1e3", "9" * 30, "٣"])
def test_a_limit_that_is_no_number_stops_the_load_by_its_name(tmp_path: Path, value: str) -> None:
    with pytest.raises(
        scoring.ScoringError, match="ONNXFERRY_LIMIT_ITEMS must be an integer of at least 1"
    ) as caught:
        scoring.load(tiny.text_classification(tmp_path), {"ONNXFERRY_LIMIT_ITEMS": value})
    assert caught.value.code == "invalid_model"


def test_an_unknown_limit_stops_the_load_and_lists_the_known(tmp_path: Path) -> None:
    known = (
        "known: ONNXFERRY_LIMIT_BODY_BYTES, ONNXFERRY_LIMIT_ITEMS, ONNXFERRY_LIMIT_TOKENS,"
        " ONNXFERRY_LIMIT_PIXELS"
    )
    with pytest.raises(scoring.ScoringError, match=f"ONNXFERRY_LIMIT_BODY sets no limit; {known}"):
        scoring.load(tiny.text_classification(tmp_path), {"ONNXFERRY_LIMIT_BODY": "1"})


def test_the_page_has_the_defaults() -> None:
    page = (ROOT / "docs/host-settings.md").read_text(encoding="utf-8")
    for name, limit in asdict(Limits()).items():
        (row,) = (row for row in page.splitlines() if f"`ONNXFERRY_LIMIT_{name.upper()}` |" in row)
        assert int(row.split("|")[3].replace(",", "")) == limit
