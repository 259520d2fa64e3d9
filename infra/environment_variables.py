"""The environment variables that deploy.toml gives a deployment: which it may set, and to what.

Scoring validates its own, ONNXFERRY_LIMIT_*, _ENGINE_* and _URLS_*. It is imported only where such
a variable is given, since it loads numpy and onnxruntime, which --help must not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
PROBLEM = "variable"  # the type of the errors that say all themselves
PREFIX = "ONNXFERRY_"  # of all variables of ours
TABLE = (
    "a table of names and texts is expected; as a flag or variable, JSON or NAME=VALUE,NAME=VALUE"
)


@dataclass(frozen=True)
class Rules:
    """What one platform leaves to the user: names that match no pattern of `reserved` (separated by
    spaces, in any case), and values of at most `longest` characters, if it says so. `keys` are
    variables that a key of deploy.toml stands for, with that key."""

    reserved: str
    longest: int | None = None
    keys: Mapping[str, str] = field(default_factory=dict)


SAGEMAKER = Rules(
    """SAGEMAKER_PROGRAM SAGEMAKER_SUBMIT_DIRECTORY SAGEMAKER_BASE_DIR SAGEMAKER_BIND_TO_PORT
    SAGEMAKER_MULTI_MODEL HF_MODEL_ID HF_MODEL_DIR""",
    longest=1024,
)
AZUREML = Rules("AZUREML_MODEL_DIR AZUREML_ENTRY_SCRIPT AML_APP_ROOT")
FUNCTIONS = Rules(
    """AzureWebJobsStorage* AzureWebJobsScriptRoot FUNCTIONS_* DEPLOYMENT_STORAGE_* WEBSITE_* SCM_*
    ENABLE_ORYX_BUILD""",
    keys={
        "ONNXFERRY_FUNCTIONS_AUTH": "auth",
        "ONNXFERRY_URLS_ALLOW": "allow_urls",
        "ONNXFERRY_URLS_HOSTS": "url_hosts",
    },
)

MLFLOW = Rules("MLFLOW_TRACKING_* MLFLOW_REGISTRY_URI")


def checked(given: Any, rules: Rules) -> Any:
    """`given`, a table of variables, as it is. Raises ValidationError with a line for each that
    breaks the `rules`, and PydanticCustomError for what is no table."""
    if not isinstance(given, Mapping):
        raise problem(f"{TABLE}; got {type(given).__name__}")  # a text that may be a secret
    wrong = [
        InitErrorDetails(type=problem(text), loc=(name,), input=name)
        for name, value in given.items()
        for text in _problems(name, value, rules)
    ]
    if wrong:
        raise ValidationError.from_exception_data("environment", wrong)
    return given


def _problems(name: str, value: Any, rules: Rules) -> Iterator[str]:
    """What is wrong with one variable. Its text may be a secret: only scoring's own is shown."""
    if not re.fullmatch(NAME, name):
        yield "a variable's name has letters, digits and underscores, and no digit first"
    elif any(fnmatchcase(name.upper(), pattern.upper()) for pattern in rules.reserved.split()):
        yield "what is deployed, or the platform, depends on this variable; leave it out"
    elif name.upper() in rules.keys:
        yield f"the key {rules.keys[name.upper()]} of this table says it; leave the variable out"
        return
    if not isinstance(value, str):
        yield f'a variable\'s value is a text, in quotes like "2"; got {value!r:.80}'
    elif rules.longest and len(value) > rules.longest:
        yield f"the platform takes values of at most {rules.longest} characters; got {len(value)}"
    elif name.upper().startswith(PREFIX) and (text := _unread(name, value)):
        yield text


def _unread(name: str, value: str) -> str:
    """Why scoring would refuse or overlook a variable of ours; "" when it reads it."""
    from onnxferry.scoring import engine_options, urls
    from onnxferry.scoring.errors import ModelError
    from onnxferry.scoring.limits import Limits, variable

    families = variable(""), engine_options.PREFIX, urls.PREFIX
    if not name.startswith(families):
        return f"no variable of ours; known: {', '.join(f'{family}*' for family in families)}"
    try:
        Limits().overridden({name: value})
        engine_options.EngineOptions().overridden({name: value})
        urls.Policy.read({name: value})
    except ModelError as e:
        return str(e)
    return ""


def hosts(given: tuple[str, ...]) -> tuple[str, ...]:
    """url_hosts as scoring reads them. Raises PydanticCustomError."""
    from onnxferry.scoring.errors import ModelError
    from onnxferry.scoring.urls import policy

    try:
        return policy.hosts(",".join(given), "url_hosts")
    except ModelError as e:
        raise problem(str(e)) from e


def without_password(uri: str | None) -> str | None:
    """`uri` as it is. Raises PydanticCustomError for one with a sign-in, which is not shown."""
    if uri and "@" in uri.partition("//")[2].partition("/")[0]:
        said = "a sign-in has no place here; the platform's own variables hold it"
        raise problem(f"{said}, such as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    return uri


def problem(text: str) -> PydanticCustomError:
    """An error of one key that says all itself."""
    return PydanticCustomError(PROBLEM, "{problem}", {"problem": text})
