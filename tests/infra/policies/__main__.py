"""Write the policy files again, from the calls of the flows, and the tables of their page."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from onnxferry.targets import clouds
from tests.infra.policies.accounts import ACCOUNTS
from tests.infra.policies.documents import FOLDER, documents, written
from tests.infra.policies.flows import models
from tests.infra.policies.page import PAGE, page
from tests.infra.policies.recording import record


def main() -> int:
    """The exit code: 1 where a flow did not end as it should, and then nothing is written."""
    used, wrong = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name, account in ACCOUNTS.items():
            target = name.partition("-")[0]
            with account(models(target, Path(folder) / name)) as opened:
                found = record(opened)
            used[name] = found.used
            wrong += [f"{name}: {line}" for line in found.wrong]
    print(*wrong, sep="\n", file=sys.stderr)
    if wrong:
        return 1
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for target in clouds():
        own = {name: found for name, found in used.items() if name.partition("-")[0] == target}
        for path, text in written(documents(own, target)).items():
            path.write_text(text, encoding="utf-8")
    PAGE.write_text(page(used), encoding="utf-8")
    print(*sorted(FOLDER.glob("*.json")), PAGE, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
