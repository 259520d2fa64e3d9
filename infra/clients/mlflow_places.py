"""Where MLflow's tracking server and registry are: what deploy.toml says, else MLflow's own
variables, else an SQLite file in the user's data folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from onnxferry.infra.clients.mlflow_errors import hidden

_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Place:
    """`tracking` and `registry` are URIs ("" for MLflow's default of the tracking URI);
    `artifacts` is where a new experiment keeps its files ("" as the server says)."""

    tracking: str
    registry: str = ""
    artifacts: str = ""

    @property
    def database(self) -> Path | None:
        """The SQLite file that it is, if it is one."""
        found = self.tracking.startswith(_SQLITE)
        return Path(self.tracking.removeprefix(_SQLITE).partition("?")[0]) if found else None

    @property
    def there(self) -> bool:
        """False for an SQLite file that is not there yet."""
        return self.database is None or self.database.is_file()

    @property
    def shown(self) -> str:
        """For people, without a sign-in."""
        other = f", registry {self.registry}" if self.registry not in ("", self.tracking) else ""
        return hidden(f"{self.tracking}{other}")


def place(tracking: str, registry: str, artifacts: str, environ: Mapping[str, str]) -> Place:
    """The place that these settings and variables name. Touches nothing."""
    uri = tracking or environ.get("MLFLOW_TRACKING_URI", "") or _default()
    found = Place(uri, registry or environ.get("MLFLOW_REGISTRY_URI", ""), artifacts)
    if artifacts or found.database is None:
        return found
    # else MLflow puts them into the working directory
    beside = (found.database.absolute().parent / "artifacts").as_uri()
    return Place(found.tracking, found.registry, beside)


def _default() -> str:
    return f"{_SQLITE}{Path(platformdirs.user_data_dir('onnxferry')) / 'mlflow' / 'mlflow.db'}"
