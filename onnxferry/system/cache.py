"""Where what was fetched or made once is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """$ONNXFERRY_CACHE, else the user's cache folder of this system."""
    return Path(environ.get("ONNXFERRY_CACHE") or platformdirs.user_cache_dir("onnxferry"))
