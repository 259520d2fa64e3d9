"""Which operation of which service a request is, by botocore's service models, and whether it is
well-formed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import botocore.loaders
import botocore.model
from botocore.validate import ParamValidator

_TARGETS = {
    "SageMaker": "sagemaker",
    "Logs_20140328": "logs",
    "ServiceQuotasV20190624": "service-quotas",
    "AnyScaleFrontendService": "application-autoscaling",
    "GraniteServiceVersion20100801": "cloudwatch",
}
QUERY = ("iam", "sts", "sns", "cloudformation")  # services that take forms

_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/")
_SIGNING = {
    "x-amz-date",
    "x-amz-content-sha256",
    "x-amz-security-token",
    "x-amz-user-agent",
    "x-amz-trailer",
    "x-amz-decoded-content-length",
    "x-amz-target",
    "x-amz-sdk-checksum-algorithm",
}
READS = ("Get", "List", "Describe", "Head")


@dataclass(frozen=True)
class Call:
    """One request. `parameters` is the body of a JSON or query request; `attempt` counts from 1."""

    number: int
    service: str
    operation: str
    region: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """What the SDK keeps through all attempts of a call."""
        return self.headers.get("amz-sdk-invocation-id", "")

    @property
    def attempt(self) -> int:
        found = re.search(r"attempt=(\d+)", self.headers.get("amz-sdk-request", ""))
        return int(found[1]) if found else 1

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.operation.startswith(READS) or self.service == "sagemaker-runtime"

    def __str__(self) -> str:
        return f"{self.service}.{self.operation}"


def recognise(
    number: int, environ: Mapping[str, Any], headers: Mapping[str, str], body: bytes
) -> Call:
    """The WSGI request as a call; operation "" if it is unknown or not signed."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    arguments = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    scope = _SCOPE.search(headers.get("authorization", ""))
    region, service = (scope[1], scope[2]) if scope else ("", "")
    operation, parameters = "", {}
    prefix, dot, name = headers.get("x-amz-target", "").partition(".")
    if dot and prefix in _TARGETS:
        service, operation, parameters = _TARGETS[prefix], name, json.loads(body or b"{}")
    elif service in QUERY:
        parameters = dict(parse_qsl(body.decode(), keep_blank_values=True))
        operation = parameters.get("Action", "")
    elif service in ("sagemaker", "s3"):
        service = "sagemaker-runtime" if service == "sagemaker" else service
        operation = _rest(service, method, path, arguments, headers)
    return Call(
        number, service, operation, region, method, path, arguments, headers, body, parameters
    )


def wrong(call: Call) -> str:
    """What is wrong with a call by the service's model; "" if nothing is."""
    if not call.operation or call.operation not in model(call.service).operation_names:
        return (
            f"{call.method} {call.path}: no operation of {call.service or 'any service'}, or not"
            " signed"
        )
    shape = model(call.service).operation_model(call.operation).input_shape
    if call.service in _TARGETS.values():
        report = ParamValidator().validate(call.parameters, shape)
        return f"{call}: {report.generate_report()}" if report.has_errors() else ""
    if call.service in QUERY:
        given = {name.partition(".")[0] for name in call.parameters} - {"Action", "Version"}
        return _names(
            call,
            given,
            set(shape.members) if shape else set(),
            shape.required_members if shape else [],
        )
    return _wrong_rest(call, shape)


def _wrong_rest(call: Call, shape: Any) -> str:
    literal = {
        name
        for name, _ in _literals(
            model(call.service).operation_model(call.operation).http["requestUri"]
        )
    }
    queries, headers = _located(shape, "querystring"), _located(shape, "header")
    prefixes = ("x-amz-checksum-", *_located(shape, "headers"))
    given = {name for name in call.query if name not in literal and name != "x-id"}
    own = {
        name
        for name in call.headers
        if name.startswith(("x-amz-", "x-amzn-"))
        and name not in _SIGNING
        and not name.startswith(prefixes)
    }
    return _names(call, given | own, queries | headers, [])


def _names(call: Call, given: set[str], known: set[str], required: list[str]) -> str:
    unknown, missing = sorted(given - known), sorted(set(required) - given)
    return f"{call}: unknown {unknown}, missing {missing}" if unknown or missing else ""


def _located(shape: Any, where: str) -> set[str]:
    found = set()
    for name, member in shape.members.items():
        if member.serialization.get("location") == where:
            wire = member.serialization.get("name", name)
            found.add(wire if where == "querystring" else wire.lower())
    return found


@cache
def model(service: str) -> Any:
    """botocore's model of a service."""
    loader = botocore.loaders.create_loader()
    return botocore.model.ServiceModel(loader.load_service_model(service, "service-2"), service)


def _literals(uri: str) -> list[tuple[str, str]]:
    return parse_qsl(uri.partition("?")[2], keep_blank_values=True)


@cache
def _operations(
    service: str,
) -> list[tuple[str, str, re.Pattern[str], list[tuple[str, str]], set[str], set[str]]]:
    """Operation, method, path, literal query, and the required query and header names of each."""
    found = []
    for name in model(service).operation_names:
        operation = model(service).operation_model(name)
        if operation.deprecated:
            continue
        uri, shape = operation.http["requestUri"], operation.input_shape
        path = re.sub(r"\{\w+\+\}", "(.+)", uri.partition("?")[0])
        path = re.sub(r"\{\w+\}", "([^/]+)", path)
        required = set(shape.required_members) if shape else set()
        needs = {where: set[str]() for where in ("querystring", "header")}
        for member in required:
            serialization = shape.members[member].serialization
            if serialization.get("location") in needs:
                needs[serialization["location"]].add(serialization["name"])
        headers = {header.lower() for header in needs["header"]}
        pattern = re.compile(path.rstrip("/") + "/?")
        found.append(
            (name, operation.http["method"], pattern, _literals(uri), needs["querystring"], headers)
        )
    return found


def _rest(
    service: str, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> str:
    """The operation whose address fits, the one that says most of the request."""
    fits = [
        (len(literal) + len(queries) + len(own), name)
        for name, verb, pattern, literal, queries, own in _operations(service)
        if verb == method
        and pattern.fullmatch(unquote(path))
        and all(query.get(key) == value for key, value in literal)
        and queries <= set(query)
        and own <= set(headers)
    ]
    fits.sort(key=lambda fit: -fit[0])
    return fits[0][1] if fits else ""
