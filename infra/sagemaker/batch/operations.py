"""How a batch is begun and stopped. Each public method is one Step.operation, and may be done
twice."""

from __future__ import annotations

from onnxferry.infra.errors import NameTaken, NotFound, Refused
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker import execution_role
from onnxferry.infra.sagemaker.batch import jobs
from onnxferry.infra.sagemaker.prerequisites import IAM_SECONDS, PrerequisiteOperations


class BatchOperations(PrerequisiteOperations):
    """The operations on transform jobs, and on what they read beside the input."""

    def give_rights(self, step: Step) -> None:
        """Give the role a batch's policy; a role that was just made may not be known yet."""
        where = f"role {step.parameters['RoleName']}"

        def unknown() -> str | None:
            put = self.clients.call_if_there("iam", "put_role_policy", where, **step.parameters)
            return "not known to all of IAM yet" if put is None else None

        self._wait(where, unknown, limit=IAM_SECONDS)

    def take_rights(self, step: Step) -> None:
        """Take a batch's policy back from the role, if that is still ours."""
        role, policy = step.parameters["RoleName"], step.parameters["PolicyName"]
        if execution_role.has_role(self.clients, self.names):
            named = {"RoleName": role, "PolicyName": policy}
            self.clients.call_if_there("iam", "delete_role_policy", f"role {role}", **named)

    def put_text(self, step: Step) -> None:
        """Put a record or a manifest, with our mark."""
        body = step.parameters["Body"].encode()
        what = {**step.parameters, "Body": body, "Metadata": self.names.mark()}
        self.clients.call("s3", "put_object", step.name, **what)

    def start_job(self, step: Step) -> None:
        """Start a job. Its name tells all that it does, so one of that name that is ours is it."""
        where = f"transform job {step.name}"
        try:
            self.clients.call("sagemaker", "create_transform_job", where, **step.parameters)
        except NameTaken:
            found = jobs.described(self.clients, step.name)
            if not found or found["ModelName"] != step.parameters["ModelName"]:
                raise
            if not jobs.is_ours(self.clients, self.names, step.name, found["TransformJobArn"]):
                raise

    def stop_job(self, step: Step) -> None:
        """Stop a job that is ours and still at work, and wait until it is."""
        where = f"transform job {step.name}"
        found = jobs.described(self.clients, step.name)
        if not found or found["TransformJobStatus"] not in jobs.RUNNING:
            return self.progress("it has ended")
        if not jobs.is_ours(self.clients, self.names, step.name, found["TransformJobArn"]):
            return self.progress("kept: it is not onnxferry's")
        if found["TransformJobStatus"] == "InProgress":
            try:
                self.clients.call("sagemaker", "stop_transform_job", where, **step.parameters)
            except (Refused, NotFound):  # it has ended meanwhile
                found = jobs.described(self.clients, step.name)
                if found and found["TransformJobStatus"] == "InProgress":
                    raise
        return self._wait(where, lambda: self._at_work(step.name))

    def _at_work(self, name: str) -> str | None:
        found = jobs.described(self.clients, name)
        status = found["TransformJobStatus"] if found else ""
        return status if status in jobs.RUNNING else None
