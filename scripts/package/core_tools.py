"""What Azure Functions Core Tools (func) expect in an app's folder besides the app: by it the
package's files, unpacked, are a project for `func start` and for `func azure functionapp publish
NAME --no-build`.

func leaves local.settings.json and .funcignore out of what it publishes.
"""

from __future__ import annotations

from onnxferry.scripts.package import pins, wheels
from onnxferry.scripts.package.layout import Entry
from onnxferry.scripts.package.model import CheckedModel

_HEAD = """\
# For func start, in an environment of its own. What is published brings these in .python_packages.
"""
# not the byte code, which makes the start quicker
_IGNORED = ".git*\n.vscode\n.venv\nlocal.settings.json\n"


def files(model: CheckedModel) -> list[Entry]:
    """requirements.txt, with all that the app imports, and .funcignore."""
    names = pins.with_closure([*wheels.SCORING, *model.libraries, "azure-functions"])
    text = _HEAD + pins.lines(names)
    return [Entry("requirements.txt", text.encode()), Entry(".funcignore", _IGNORED.encode())]
