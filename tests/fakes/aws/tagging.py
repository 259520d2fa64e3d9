"""Tags as AWS checks, replaces and lists them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.fakes.aws.answers import validation

_TAG = re.compile(r"[\w\s.:/=+\-@]*")


def check_tags(given: Any) -> None:
    """What botocore's model says, and botocore does not check. Some services take a table."""
    tags = listed(given)["Tags"] if isinstance(given, dict) else given
    for tag in tags:
        texts = (tag.get("Key", "x"), tag.get("Value", ""))
        if texts[0].lower().startswith("aws:") or not all(map(_TAG.fullmatch, texts)):
            raise validation(f"Tag {texts} failed to satisfy constraint.")
    if len(tags) > 50 or len({tag.get("Key") for tag in tags}) < len(tags):
        raise validation("Tags must be at most 50, with unique keys.")


def change_tags(tags: dict[str, str], operation: str, asked: Mapping[str, Any]) -> None:
    if operation == "AddTags":
        tags.update({tag["Key"]: tag["Value"] for tag in asked["Tags"]})
    for key in asked.get("TagKeys", []):
        tags.pop(key, None)


def listed(tags: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
