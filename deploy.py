#!/usr/bin/env python3
"""`python deploy.py ...` is `onnxferry ...`, from a checkout: see onnxferry/cli.py."""

from __future__ import annotations

from onnxferry.cli import main

if __name__ == "__main__":
    main()
