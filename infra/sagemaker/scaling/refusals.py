"""What others registered at an endpoint, and what to do where it is in the way."""

from __future__ import annotations

from collections.abc import Iterable

from onnxferry.infra.errors import Refused
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.scaling.requests import prefix
from onnxferry.infra.sagemaker.scaling.state import FoundScaling


def refuse_others(names: Names, gone: Iterable[FoundScaling], *, foreign: bool = True) -> None:
    """What is deregistered is lost with all that others added to it."""
    for one in gone:
        where = f"AWS {names.region}, endpoint {names.endpoint}"
        if foreign and not one.ours:
            raise Refused(f"{where}, {refused_scaling(names.endpoint, one.settings.variant)}")
        if one.ours and one.others:
            raise Refused(
                f"{where}: its autoscaling is to be deregistered, and AWS would delete what others"
                f" added to it: {', '.join(one.others)}. Take that away, or leave the instance type"
                " and [sagemaker.scaling] as they were"
            )


def refused_scaling(endpoint: str, variant: str) -> str:
    """What to do where others autoscale a variant whose instance type is to be changed."""
    resource = f"--service-namespace sagemaker --resource-id {prefix(endpoint)}{variant}"
    dimension = "--scalable-dimension sagemaker:variant:DesiredInstanceCount"
    return (
        f"endpoint {endpoint} is autoscaled by others, and SageMaker does not change its instance"
        " type, nor take the variant away. Note the policy (aws application-autoscaling"
        f" describe-scaling-policies {resource}), run: aws application-autoscaling"
        f" deregister-scalable-target {resource} {dimension}, deploy, and register it again, or let"
        " [sagemaker.scaling] do that; or leave sagemaker.serving.instance_type as it was"
    )


def taken(names: Names, found: FoundScaling) -> str:
    """What to do where others have registered what deploy.toml asks for."""
    resource, dimension = found.settings.resource, found.settings.dimension
    return (
        f"AWS {names.region}, scalable target {resource}: it is registered, and not by"
        " onnxferry. Run: aws application-autoscaling deregister-scalable-target"
        f" --service-namespace sagemaker --resource-id {resource}"
        f" --scalable-dimension {dimension}, and deploy again; or leave [sagemaker.scaling] out,"
        " and what is registered stays"
    )
