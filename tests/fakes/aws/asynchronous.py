"""What is queued for asynchronous endpoints, which read and write S3 as their role may."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from onnxferry.scoring.wire import Request
from tests.fakes.aws.answers import Answer, Refusal, said
from tests.fakes.aws.calls import Call
from tests.fakes.aws.endpoints import Endpoint
from tests.fakes.aws.objects import unwritable

if TYPE_CHECKING:
    from tests.fakes.aws.invocations import Invocations
    from tests.fakes.aws.server import AwsServer


@dataclass
class Queued:
    """A request to an asynchronous endpoint: when S3 has been asked `looks` more times, and an
    instance runs, it is answered."""

    endpoint: str
    id: str
    source: str
    request: Request
    looks: int


class Queue(list[Queued]):
    """Requests that wait. `messages` are those to SNS topics; an answer is there after S3 was asked
    `looks` more times."""

    def __init__(self, aws: AwsServer, invocations: Invocations) -> None:
        super().__init__()
        self._aws, self._invocations = aws, invocations
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.looks = 1

    def accept(self, found: Endpoint, call: Call) -> Answer:
        """Queue a request, and say where its answer will be."""
        source = call.headers.get("x-amzn-sagemaker-inputlocation", "")
        if bool(source) is bool(call.body):
            raise Refusal("ValidationError", "Provide exactly one of Body and InputLocation.")
        if len(call.body) > 128_000:
            raise Refusal("ValidationError", "Body must be at most 128000 bytes.")
        event = call.headers.get("x-amzn-sagemaker-inference-id") or str(uuid.uuid4())
        request = Request(call.body, *_kinds(call))
        self.append(Queued(found.name, event, source, request, self.looks))
        output, failure = _places(found, event)
        headers = {"X-Amzn-SageMaker-OutputLocation": output}
        headers |= {"X-Amzn-SageMaker-FailureLocation": failure} if failure else {}
        body = json.dumps({"InferenceId": event}).encode()
        return Answer(202, body, {**headers, "Content-Type": "application/json"})

    def tick(self) -> None:
        """S3 has been asked: time has passed for what is queued."""
        for one in list(self):
            one.looks -= 1
            found = self._aws.endpoints.get(one.endpoint)
            if found is None:
                self.remove(one)  # the queue goes with its endpoint
            elif one.looks < 0 and found.serving and found.count and found.state != "Creating":
                self.remove(one)
                self._answer_queued(found, one)

    def _answer_queued(self, found: Endpoint, one: Queued) -> None:
        output, failure = _places(found, one.id)
        problem = ""
        try:
            body = self._invocations.object(one.source) if one.source else one.request.body
        except KeyError:
            problem = f"Unable to get data from {one.source}."
        else:
            variant, request = self._invocations.variant(found, ""), replace(one.request, body=body)
            response = self._invocations.invoke(found, variant, request, one.id)
            problem = "" if response.status == 200 else said(response)
        place, content = (failure, problem.encode()) if problem else (output, response.body)
        if problem:
            self._aws.say(found.name, f"[{one.id}] {problem}", "data-log")
        if place:
            self._put(found, one, place, content)
        self._tell(found, one.id, problem)

    def _put(self, found: Endpoint, one: Queued, place: str, content: bytes) -> None:
        """Write an answer, where the role may."""
        bucket, _, key = place.removeprefix("s3://").partition("/")
        model = next(iter(found.fleets.values())).model
        role = self._aws.sagemaker._models[model].execution_role_arn.rpartition("/")[2]
        lacking = unwritable(bucket, key, self._aws.roles[role].policies)
        if lacking or bucket not in self._aws.s3.buckets:
            self._aws.say(found.name, f"[{one.id}] Unable to put {place}: {lacking}", "data-log")
            return
        self._aws.s3.put_object(bucket, key, content)

    def _tell(self, found: Endpoint, event: str, problem: str) -> None:
        topics = found.asynchronous["OutputConfig"].get("NotificationConfig", {})
        topic = topics.get("ErrorTopic" if problem else "SuccessTopic")
        if topic:
            status = {"invocationStatus": "Failed" if problem else "Completed"}
            self.messages.append((topic, {**status, "inferenceId": event}))


def _places(found: Endpoint, event: str) -> tuple[str, str]:
    """Where an answer is put, and where a failure is ("" where nowhere)."""
    asked = found.asynchronous["OutputConfig"]
    output, failure = asked["S3OutputPath"], asked.get("S3FailurePath", "")
    said = f"{failure.rstrip('/')}/{event}-error.out" if failure else ""
    return f"{output.rstrip('/')}/{event}.out", said


def _kinds(call: Call) -> tuple[str, str]:
    """Content type, and the one that is accepted."""
    content, accept = (
        call.headers.get(f"x-amzn-sagemaker-{k}") for k in ("content-type", "accept")
    )
    return content or "application/octet-stream", accept or "*/*"
