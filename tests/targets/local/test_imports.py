"""What a host of the server may lack: the libraries of the tasks that it does not serve."""

from __future__ import annotations

import subprocess
import sys

BLOCKED = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tokenizers", "PIL"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import onnxferry.targets.local.server
from onnxferry.targets.local import forms
for name in forms.FORMS:
    forms.named(name)
"""


def test_a_server_starts_without_the_libraries_of_other_tasks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
