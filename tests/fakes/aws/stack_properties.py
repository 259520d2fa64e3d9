"""Properties of CloudFormation's resources as the services' operations take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.aws.calls import model


def typed(operation: str, data: Any, service: str = "sagemaker") -> Any:
    """Properties as an operation takes them: CloudFormation makes a number of a parameter's
    text."""
    return _typed(model(service).operation_model(operation).input_shape, data)


def _typed(shape: Any, data: Any) -> Any:
    if isinstance(data, dict) and shape.type_name == "structure":
        known = shape.members
        return {k: _typed(known[k], v) if k in known else v for k, v in data.items()}
    if isinstance(data, list) and shape.type_name == "list":
        return [_typed(shape.member, one) for one in data]
    kinds: Mapping[str, Callable[[Any], Any]] = {
        "integer": lambda v: int(float(v)),
        "long": lambda v: int(float(v)),
        "float": float,
        "double": float,
    }
    make = kinds.get(shape.type_name)
    return make(data) if make and isinstance(data, (str, int, float)) else data
