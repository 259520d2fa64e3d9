"""The templates of this folder, for any app: by the defaults of deploy.toml, and with names that
must be given."""

from __future__ import annotations

from pathlib import Path

from onnxferry.infra.config import Functions
from onnxferry.infra.functions.names import Names
from onnxferry.infra.functions.template import desired_by, nothing_there, template
from onnxferry.scripts.package import drafted, layout_of

_ZEROS = "00000000-0000-0000-0000-000000000000"


def texts() -> dict[Path, str]:
    """The text that each file should have."""
    return {Path(__file__).parent / "functions.json": _functions()}


def _functions() -> str:
    names = Names(_ZEROS, "group", "app")
    config = Functions(subscription=_ZEROS, resource_group=names.group)
    package = drafted(None, layout_of("functions"))
    desired = desired_by(config, nothing_there(names), package, "")
    made = template(desired, names, config, {})
    return made.without_defaults(("app", "storageAccount")).text
