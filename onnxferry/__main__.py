"""`python -m onnxferry` is `onnxferry`."""

from onnxferry.cli import main

if __name__ == "__main__":
    main()
