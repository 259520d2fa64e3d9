"""How alarms are changed. Each public method is one Step.operation, and may be done twice."""

from __future__ import annotations

from onnxferry.infra.errors import CloudError, NameTaken, NotAllowed, QuotaExceeded
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker import alarms
from onnxferry.infra.sagemaker.prerequisites import PrerequisiteOperations

_WITHOUT = (
    "Without alarms: sagemaker.rollout.alarms = false; then nothing rolls an update back by itself"
)


class AlarmOperations(PrerequisiteOperations):
    """On CloudWatch's alarms of one endpoint."""

    def put_alarm(self, step: Step) -> None:
        """Make an alarm, or set it anew. Raises NameTaken where it is not ours."""
        try:
            there, ours = alarms.own(self.clients, self.names, step.name)
            if there and not ours:
                raise NameTaken(
                    f"AWS {self.names.region}, alarm {step.name}: it exists, and onnxferry did not"
                    " make it; delete it, or choose another name with --name"
                )
            self._alarm("put_metric_alarm", step)
        except (NotAllowed, QuotaExceeded) as e:
            e.with_context(_WITHOUT)
            raise

    def delete_alarm(self, step: Step) -> None:
        """Delete an alarm, if it is ours."""
        if alarms.own(self.clients, self.names, step.name)[1]:
            what = ("cloudwatch", "delete_alarms", f"alarm {step.name}")
            self.clients.call_if_there(*what, **step.parameters)

    def change_alarm_tags(self, step: Step) -> None:
        """Set tags of an alarm, and take away others."""
        arn = {"ResourceARN": step.parameters["ResourceArn"]}
        if tags := step.parameters["Tags"]:
            self.clients.call("cloudwatch", "tag_resource", f"alarm {step.name}", **arn, Tags=tags)
        if keys := step.parameters["TagKeys"]:
            what = ("cloudwatch", "untag_resource", f"alarm {step.name}")
            self.clients.call(*what, **arn, TagKeys=keys)

    def _alarm(self, operation: str, step: Step) -> None:
        self.clients.call("cloudwatch", operation, f"alarm {step.name}", **step.parameters)

    def _refuse_firing(self, name: str, watched: list[str]) -> None:
        """SageMaker would take the update back at once. Where that may not be asked, it does."""
        try:
            firing = alarms.firing(self.clients, watched)
        except NotAllowed:
            return
        if firing:
            raise CloudError(f"AWS {self.names.region}, endpoint {name}: {in_alarm(firing)}")


def in_alarm(firing: str) -> str:
    """What is said where alarms that would watch an update are in ALARM before it."""
    return (
        f"in ALARM now: {firing}. SageMaker would take the update back at once. Deploy when they"
        " are OK, or leave them out of sagemaker.rollout.other_alarms"
    )
