"""Where what was fetched or made once is kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """$ONNXFERRY_CACHE, else the user's cache folder of this system."""
    return Path(os.environ.get("ONNXFERRY_CACHE") or platformdirs.user_cache_dir("onnxferry"))
