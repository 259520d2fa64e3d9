"""The command line whose packages have no libraries, which take seconds to fetch and to pack."""

from __future__ import annotations

from onnxferry import cli
from onnxferry.infra.command_options import CommandOptions
from tests.packages import bare

if __name__ == "__main__":
    CommandOptions.layout = bare("sagemaker")  # type: ignore[method-assign,assignment]
    cli.main()
