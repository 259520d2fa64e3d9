"""From one way of serving to another: SageMaker takes a serverless endpoint to instances, and never
back; an endpoint stays asynchronous, and no other becomes it."""

from __future__ import annotations

from onnxferry.infra.errors import Refused
from onnxferry.infra.sagemaker.fleet import Variant, Variants
from onnxferry.infra.sagemaker.names import Names
from onnxferry.system.exits import program

_FINAL = ("serverless", "realtime")


def is_final(serving: Variant | None, wanted: Variant) -> bool:
    """Whether SageMaker would not take the endpoint back from `wanted` to what is `serving`."""
    return _modes(serving, wanted) == _FINAL


def check(names: Names, serving: Variant | None, wanted: Variant) -> None:
    """Raise Refused where SageMaker would not update an endpoint from `serving` to `wanted`."""
    before, after = _modes(serving, wanted)
    if before == after or (before, after) == _FINAL:
        return
    why = "SageMaker updates an endpoint that has instances to no serverless one"
    if "async" in (before, after):
        why = "an endpoint is asynchronous from its creation on, or never"
    raise Refused(
        f'AWS {names.region}, endpoint {names.endpoint}: it serves with serving.mode = "{before}",'
        f' and cannot be updated to "{after}": {why}. Deploy under another --name, lead clients'
        f" there and {program('delete')} this one; or, where it may be away for some minutes,"
        f" {program('delete')} it and deploy again"
    )


def takes_policy(serving: Variant | None, wanted: Variant) -> bool:
    """Whether SageMaker takes a policy of ours for the update: where both have the same variants,
    on instances. Else all traffic goes over at once."""
    both = [one for one in (serving, wanted) if one]
    names = {one.names for one in both if isinstance(one, Variants)}
    return len(names) < 2 and not any("ServerlessConfig" in one for one in both)


def notes(serving: Variant | None, wanted: Variant) -> tuple[str, ...]:
    """What a plan says of such a move."""
    if not is_final(serving, wanted):
        return ()
    said = "SageMaker takes no endpoint back to serverless: this is final, and rollback will refuse"
    return (f"The endpoint changes from serverless to instances. {said}.",)


def _modes(serving: Variant | None, wanted: Variant) -> tuple[str, str]:
    after = wanted.mode if isinstance(wanted, Variants) else "realtime"
    return (serving.mode if isinstance(serving, Variants) else after), after
