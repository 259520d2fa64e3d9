"""pins.txt, read for a target: the exact versions of what ships.

pip evaluates environment markers for the Python that runs it; a package is for another machine, so
they are evaluated here, for Linux on x86_64 with CPython of the target's version.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from onnxferry.system.errors import PackageError

PINS = Path(__file__).with_name("pins.txt")

# What an installation brings in besides the named distribution, so that requirements.txt and
# env.yml can pin it all. tests/scripts/test_package_pins.py lets pip resolve each.
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
    "uvicorn": "click h11 typing-extensions",
    "azureml-inference-server-http": """
        annotated-types azure-core azure-identity azure-monitor-opentelemetry-exporter blinker
        certifi cffi charset-normalizer click cryptography deprecated fixedint flask flask-cors
        gunicorn idna importlib-metadata inference-schema isodate itsdangerous jinja2 markupsafe
        msal msal-extensions msrest oauthlib opentelemetry-api opentelemetry-sdk
        opentelemetry-semantic-conventions packaging psutil pycparser pydantic pydantic-core
        pydantic-settings pyjwt python-dateutil python-dotenv pytz requests requests-oauthlib
        six typing-extensions typing-inspection urllib3 werkzeug wrapt zipp
    """,
}


def with_closure(names: Iterable[str]) -> list[str]:
    """`names` and all that their installation brings in, sorted."""
    return sorted({name for root in names for name in (root, *CLOSURES[root].split())})


def select(names: Iterable[str], python: str) -> list[str]:
    """ "name==version" of each of `names` for Python `python`; a pin that is not for that Python is
    left out."""
    host = _environment(python)
    pins = (pin for name in names for pin in _pins_of(name))
    chosen = (pin for pin in pins if not pin.marker or pin.marker.evaluate(host))
    return [f"{pin.name}{pin.specifier}" for pin in chosen]


def lines(names: Iterable[str]) -> list[str]:
    """The pins of each of `names` with their environment markers, as a requirements.txt takes
    them."""
    return [str(pin) for name in names for pin in _pins_of(name)]


def version(name: str, python: str) -> str:
    """The version of `name` for Python `python`."""
    chosen = select([name], python)
    if len(chosen) != 1:
        raise PackageError(
            f"{PINS}: {len(chosen)} pins of {name} apply to Python {python}; exactly one must"
        )
    return chosen[0].partition("==")[2]


def _pins_of(name: str) -> tuple[Requirement, ...]:
    pins = read(PINS)
    if name not in pins:
        raise PackageError(
            f"{PINS}: no pin of {name}; add the version that the rehearsals passed with"
        )
    return pins[name]


@functools.cache
def read(path: Path) -> dict[str, tuple[Requirement, ...]]:
    """All pins of a constraints file by canonical name. Raises PackageError for a line that is not
    an exact pin."""
    pins: dict[str, tuple[Requirement, ...]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if text := line.partition("#")[0].strip():
            pin = _parse(text, f"{path}, line {number}")
            name = canonicalize_name(pin.name)
            pins[name] = (*pins.get(name, ()), pin)
    return pins


def _parse(text: str, where: str) -> Requirement:
    try:
        pin = Requirement(text)
    except InvalidRequirement as e:
        raise PackageError(f"{where}: {text!r} is not a requirement ({e})") from e
    if [s.operator for s in pin.specifier] != ["=="] or "*" in str(pin.specifier):
        raise PackageError(f"{where}: {text!r} is not an exact pin; write {pin.name}==VERSION")
    return pin


def _environment(python: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
    }
