"""`python -m onnxferry` is `onnxferry`."""

from __future__ import annotations

from onnxferry.cli import main

if __name__ == "__main__":
    main()
