"""pins.txt: the exact versions of what ships, for CPython of any version on Linux on x86_64; and
hashes.txt: the wheels of those versions that may be in a package."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from onnxferry.system.errors import PackageError

PINS = Path(__file__).with_name("pins.txt")
HASHES = Path(__file__).with_name("hashes.txt")
AZUREML_BATCH = Path(__file__).with_name("azureml-batch.txt")  # see there

# What an installation of each brings in besides, so that all of it is pinned.
# tests/scripts/test_package_pins.py lets pip resolve them.
CLOSURES = {
    "numpy": "",
    "pillow": "",
    "onnxruntime": "coloredlogs flatbuffers humanfriendly mpmath packaging protobuf sympy",
    "tokenizers": """
        certifi charset-normalizer filelock fsspec hf-xet huggingface-hub idna packaging pyyaml
        requests tqdm typing-extensions urllib3
    """,
    "fastapi": """
        annotated-doc annotated-types anyio exceptiongroup idna pydantic pydantic-core starlette
        typing-extensions typing-inspection
    """,
    "httptools": "",
    "prometheus-client": "",
    "pyyaml": "",
    "click": "",
    "filelock": "",
    "pyarrow": "",
    "rich": "markdown-it-py mdurl pygments",
    "urllib3": "",
    "uvicorn": "click h11 typing-extensions",
    "uvloop": "",
    "azure-functions": "markupsafe werkzeug",
    "azureml-inference-server-http": """
        annotated-types azure-core azure-identity azure-monitor-opentelemetry-exporter blinker
        certifi cffi charset-normalizer click cryptography deprecated fixedint flask flask-cors
        gunicorn idna importlib-metadata inference-schema isodate itsdangerous jinja2 markupsafe
        msal msal-extensions msrest oauthlib opentelemetry-api opentelemetry-sdk
        opentelemetry-semantic-conventions packaging psutil pycparser pydantic pydantic-core
        pydantic-settings pyjwt python-dateutil python-dotenv pytz requests requests-oauthlib
        six typing-extensions typing-inspection urllib3 werkzeug wrapt zipp
    """,
    "azureml-core": """
        adal argcomplete azure-common azure-core azure-graphrbac azure-mgmt-authorization
        azure-mgmt-containerregistry azure-mgmt-core azure-mgmt-keyvault azure-mgmt-network
        azure-mgmt-resource azure-mgmt-storage backports-tempfile backports-weakref bcrypt certifi
        cffi charset-normalizer contextlib2 cryptography docker humanfriendly idna isodate jeepney
        jmespath jsonpickle knack msal msal-extensions msrest msrestazure ndg-httpsclient oauthlib
        packaging paramiko pathspec pkginfo pyasn1 pycparser pygments pyjwt pynacl pyopenssl pysocks
        python-dateutil pytz pyyaml requests requests-oauthlib secretstorage six tabulate
        typing-extensions urllib3
    """,
    "azureml-dataset-runtime": """
        attrs azure-core azure-identity azureml-dataprep azureml-dataprep-native
        azureml-dataprep-rslex certifi cffi charset-normalizer cloudpickle cryptography idna
        jsonschema jsonschema-specifications msal msal-extensions numpy pyarrow pycparser pyjwt
        pyyaml referencing requests rpds-py typing-extensions urllib3
    """,
    "fusepy": "",
    "azureml-ai-monitoring": """
        certifi charset-normalizer idna numpy pandas python-dateutil requests six urllib3
    """,
    "mlflow": """
        aiohappyeyeballs aiohttp aiosignal alembic annotated-doc annotated-types anyio
        async-timeout attrs blinker cachetools certifi cffi charset-normalizer click
        cloudpickle contourpy cryptography cycler databricks-sdk deprecated docker
        exceptiongroup fastapi flask flask-cors fonttools frozenlist gitdb gitpython
        google-auth graphene graphql-core graphql-relay greenlet gunicorn h11 huey idna
        importlib-metadata itsdangerous jinja2 joblib kiwisolver mako markupsafe matplotlib
        mlflow-skinny mlflow-tracing multidict narwhals numpy opentelemetry-api
        opentelemetry-proto opentelemetry-sdk opentelemetry-semantic-conventions packaging
        pandas pillow prettytable propcache protobuf pyarrow pyasn1 pyasn1-modules pycparser
        pydantic pydantic-core pyparsing python-dateutil python-dotenv pytz pyyaml requests
        scikit-learn scipy six skops smmap sqlalchemy sqlparse starlette threadpoolctl tomli
        typing-extensions typing-inspection tzdata urllib3 uvicorn wcwidth werkzeug wrapt
        yarl zipp
    """,
}
_HOST = {
    "platform_python_implementation": "CPython",
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
}


def with_closure(names: Iterable[str]) -> list[str]:
    """`names` and all that their installation brings in, sorted."""
    return sorted({name for root in names for name in (root, *CLOSURES[root].split())})


def select(names: Iterable[str], python: str, before: Path | None = None) -> list[str]:
    """ "name==version" of each of `names` that has a pin for Python `python`; a pin in the file
    `before` comes before one in pins.txt."""
    host = _HOST | {"python_version": python, "python_full_version": f"{python}.0"}
    found = _pins_of(names, before)
    chosen = (pin for pin in found if not pin.marker or pin.marker.evaluate(host))
    return [f"{pin.name}{pin.specifier}" for pin in chosen]


def lines(names: Iterable[str], before: Path | None = None) -> str:
    """The pins of `names` with their environment markers, as the text of a requirements.txt;
    `before` as in `select`."""
    return "".join(f"{pin}\n" for pin in _pins_of(names, before))


def hashed(requirements: Iterable[str], file: Path = HASHES) -> list[str]:
    """Each of `requirements` ("numpy==2.2.6") as a line for pip, with the hashes that its wheels
    may have. Raises PackageError for one without."""
    known = {line.partition(" ")[0]: line for line in file.read_text("utf-8").splitlines()}
    wanted = list(requirements)
    if missing := [requirement for requirement in wanted if requirement not in known]:
        again = "after a change of pins.txt: python -m scripts.package.lock"
        raise PackageError(f"{file}: no hash of {', '.join(missing)}; {again}")
    return [known[requirement] for requirement in wanted]


def version(name: str, python: str) -> str:
    """The version of `name` for Python `python`."""
    chosen = select([name], python)
    if len(chosen) != 1:
        raise PackageError(f"{PINS}: {len(chosen)} pins of {name} for Python {python}; one must be")
    return chosen[0].partition("==")[2]


def _pins_of(names: Iterable[str], before: Path | None = None) -> Iterator[Requirement]:
    pins = {**read(PINS), **(read(before) if before else {})}
    for name in names:
        if name not in pins:
            raise PackageError(f"{PINS}: no pin of {name}; add the version that was rehearsed")
        yield from pins[name]


@functools.cache
def read(path: Path) -> dict[str, list[Requirement]]:
    """All pins of a file by canonical name. Raises PackageError for a line that is no exact pin."""
    pins: dict[str, list[Requirement]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if text := line.partition("#")[0].strip():
            pin = _parse(text, f"{path}, line {number}")
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


def _parse(text: str, where: str) -> Requirement:
    try:
        pin = Requirement(text)
    except InvalidRequirement as e:
        raise PackageError(f"{where}: {text!r} is not a requirement ({e})") from e
    if [s.operator for s in pin.specifier] != ["=="] or "*" in str(pin.specifier):
        raise PackageError(f"{where}: {text!r} is not an exact pin; write {pin.name}==VERSION")
    return pin
