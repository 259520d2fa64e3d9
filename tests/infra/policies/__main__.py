"""Write the policy files again, from the calls of the flows, and the tables of their page."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from docs import generate
from tests.infra.policies.accounts import ACCOUNTS
from tests.infra.policies.documents import FOLDER, documents, written
from tests.infra.policies.flows import models
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
    for path, text in written(documents(used)).items():
        path.write_text(text, encoding="utf-8")
        print(path)
    generate.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
