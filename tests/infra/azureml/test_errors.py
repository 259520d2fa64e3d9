"""Each failure ends with one message: where, what the cloud said, what next; and leaves what serves
as it was."""

from __future__ import annotations

import itertools

import pytest

from onnxferry.infra import azureml
from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.errors import (
    BuildFailed,
    CloudError,
    InvokeFailed,
    NoCredentials,
    NotAllowed,
    NotFound,
    NotHealthy,
    QuotaExceeded,
    Refused,
    TimedOut,
    Unavailable,
    WrongAnswer,
)
from onnxferry.infra.plan import Action, Step
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.wire import Request
from onnxferry.system.console import Progress
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.login import SECRET, TOKEN
from tests.fakes.azure.providers.assets import SAS, WORKSPACES
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, MachineLearning
from tests.fakes.azure.providers.online_scoring import KEY
from tests.infra.azureml.conftest import NAME, config, connected, deploy
from tests.infra.replaced import Replaced

WHERE = (
    "deployment v{} of endpoint squad of workspace work of resource group rg in subscription "
    + SUBSCRIPTION
)


def failure(
    kind: type[CloudError], cloud: OnlineEndpoint, bundle: Bundle, *, keep_failed: bool = False
) -> str:
    """The message with which deploying `bundle` fails."""
    with pytest.raises(kind) as caught:
        deploy(cloud, bundle, keep_failed=keep_failed)
    text = str(caught.value)
    assert not [secret for secret in (SECRET, TOKEN, KEY, SAS) if secret in text]
    return text


def served(ml: MachineLearning) -> list[str]:
    return [name for change in ml.history for name in change.traffic]


def test_nobody_is_signed_in(
    azure: AzureFake, ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    with azure.reachable(known=False):
        text = failure(NoCredentials, connected(), versions["a"])
    assert "az login" in text


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"workspace": "elsewhere"}, "workspace elsewhere of resource group rg in subscription"),
        ({"resource_group": "other"}, "workspace work of resource group other in subscription"),
        (
            {"subscription": "00000000-0000-0000-0000-000000000002"},
            "in subscription 00000000-0000-0000-0000-000000000002",
        ),
    ],
)
def test_no_such_workspace(
    ml: MachineLearning, versions: dict[str, Bundle], change: dict[str, str], shown: str
) -> None:
    text = failure(NotFound, connected(**change), versions["a"])
    assert shown in text
    assert "check subscription, resource group, workspace" in text


@pytest.mark.parametrize("type_", [ENDPOINTS, DEPLOYMENTS, f"{WORKSPACES}/models/versions"])
def test_a_missing_permission_is_named(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle], type_: str
) -> None:
    azure.arm.denied.add(f"PUT {type_}")
    text = failure(NotAllowed, cloud, versions["a"], keep_failed=True)
    assert f"the permission {type_}/write is missing" in text
    if type_ == DEPLOYMENTS:  # what is half-made is listed
        kinds = [step.resource for step in cloud.plan_delete().steps]
        assert kinds == ["endpoint", "model", "environment", "code", "files"]


def test_the_files_may_not_be_written(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    azure.blobs.keyless.add("wsstore")
    text = failure(NotAllowed, cloud, versions["a"])
    assert "--system-datastores-auth-mode identity" in text
    assert "Storage Blob Data Contributor" in text
    assert "container azureml-blobstore" in text


def test_status_tells_what_it_could_not_read(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    azure.blobs.keyless.add("wsstore")
    status = cloud.status()
    assert status.version == versions["a"].version
    assert status.resources[-1][2].startswith("not readable: onnxferry/squad/work-")


def test_an_identity_based_datastore_is_opened_as_who_is_signed_in(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    store = azure.store.get(f"{ml.workspace()}/datastores/workspaceblobstore")
    assert store
    store["properties"]["credentials"] = {"credentialsType": "None"}
    azure.blobs.keyless.add("wsstore")
    deploy(cloud, versions["a"])
    assert len(served(ml)) == 1


def test_the_image_does_not_build(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    ml.container_logs["StorageInitializer"] = "downloading"
    azure.arm.failures[DEPLOYMENTS.lower()] = (
        "ImageBuildFailure",
        "Image build failed: pip could not find onnxruntime",
    )
    text = failure(BuildFailed, cloud, versions["a"])
    assert WHERE.format(versions["a"].version)[:20] in text
    assert "pip could not find onnxruntime" in text
    assert text.index("The end of its log") < text.index("downloading")
    assert served(ml) == []


def test_it_never_becomes_healthy_and_the_next_run_makes_it_anew(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    before = served(ml)
    ml.container_logs["InferenceServer"] = (
        "\n".join(f"line {i}" for i in range(200)) + "\nModuleNotFoundError: numpy"
    )
    azure.arm.failures[DEPLOYMENTS.lower()] = (
        "ResourceNotReady",
        "User container has crashed or terminated.",
    )
    text = failure(NotHealthy, cloud, versions["b"], keep_failed=True)
    assert "ModuleNotFoundError: numpy" in text
    assert "User container has crashed" in text
    assert "line 100" not in text
    assert served(ml) == before
    assert [
        r for r in cloud.status().resources if r[0] == "deployment" and r[2].startswith("Failed")
    ]
    steps = [(s.action, s.resource) for s in cloud.plan_deploy(versions["b"]).changes]
    assert steps[:2] == [(Action.DELETE, "deployment"), (Action.CREATE, "deployment")]
    deploy(cloud, versions["b"])
    assert len(served(ml)) == 2


def test_what_failed_is_cleared_before_another_version_needs_its_instances(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    azure.arm.failures[DEPLOYMENTS.lower()] = ("ResourceNotReady", "crashed")
    failure(NotHealthy, cloud, versions["b"], keep_failed=True)
    steps = [
        (s.action, s.name[:13])
        for s in cloud.plan_deploy(versions["c"]).changes
        if s.resource == "deployment"
    ]
    assert steps == [
        (Action.DELETE, f"v{versions['b'].version}"),
        (Action.CREATE, f"v{versions['c'].version}"),
    ]


@pytest.mark.parametrize("code", ["OutOfQuota", "OutOfCapacity"])
def test_quota(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle], code: str
) -> None:
    azure.arm.failures[DEPLOYMENTS.lower()] = (
        code,
        "Not enough quota available for Standard_F2s_v2",
    )
    text = failure(QuotaExceeded, cloud, versions["a"])
    assert "Standard_F2s_v2" in text


def test_quota_refused_at_once(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    azure.arm.refusals[DEPLOYMENTS.lower()] = (
        400,
        "BadRequest",
        "Not enough quota available for Standard_F2s_v2",
    )
    assert "Standard_F2s_v2" in failure(QuotaExceeded, cloud, versions["a"])


def test_a_wrong_candidate_gets_no_traffic(
    cloud: OnlineEndpoint, ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    before = list(ml.history)
    plan = cloud.plan_deploy(versions["b"])
    model = next(s.parameters["version"] for s in plan.steps if s.resource == "model")
    ml.answers[model] = b'{"answer": "Bob", "start": 0, "end": 3, "score": 0.5}'
    text = failure(WrongAnswer, cloud, versions["b"])
    assert versions["b"].golden.answer["answer"] in text
    assert "Bob" in text
    assert ml.history == before


def test_a_version_that_fails_once_it_serves_goes_back(
    cloud: OnlineEndpoint, ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    plan = cloud.plan_deploy(versions["b"])
    model = next(s.parameters["version"] for s in plan.steps if s.resource == "model")

    def spoiled(step: Step, progress: Progress) -> None:
        cloud.execute(step, progress)
        ml.answers[model] = b'{"answer": "Bob"}'

    with pytest.raises(WrongAnswer, match="The earlier version serves again"):
        apply(plan, Replaced(cloud, {"update_endpoint": spoiled}))
    first, second, third = (change.traffic for change in ml.history)
    assert first == third != second
    assert cloud.status().version == versions["a"].version
    assert cloud.status().previous == ""


def test_a_wait_has_a_limit(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    azure.operations.polls = 10_000
    ticks = itertools.count(step=30)
    clock = Clock(now=lambda: float(next(ticks)), sleep=lambda seconds: None, interval=0)
    cloud = azureml.connect(config(wait_minutes=1), NAME, clock)
    text = failure(TimedOut, cloud, versions["a"])
    assert "endpoint squad: still InProgress after 90 s" in text
    azure.operations.polls = 0


def test_throttled_to_the_end(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    azure.restart_counting()
    azure.faults.at = dict.fromkeys(range(3, 30), Fault.THROTTLED)
    assert "run the same command again" in failure(Unavailable, cloud, versions["a"])


def test_no_connection_to_the_endpoint(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    next(iter(azure.store.all(ENDPOINTS)))["properties"]["scoringUri"] = "https://127.0.0.1:1/score"
    with pytest.raises(InvokeFailed, match="private network"):
        cloud.invoke(Request(b"{}"), 5)


def test_another_kind_of_default_datastore(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    store = azure.store.get(f"{ml.workspace()}/datastores/workspaceblobstore")
    assert store
    store["properties"] |= {"datastoreType": "AzureFile", "fileShareName": "share"}
    assert "make a blob datastore the default one" in failure(Refused, cloud, versions["a"])


def test_the_previous_versions_golden_request_is_gone(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    files = azure.blobs.accounts["wsstore"]["azureml-blobstore"]
    for name in [name for name in files if name.endswith("model_spec.json")]:
        del files[name]
    with pytest.raises(NotFound, match="nothing says what that version should answer"):
        apply(cloud.plan_rollback(), cloud)


@pytest.mark.parametrize("state", ["Creating", "Updating"])
def test_waits_for_what_another_run_began(
    cloud: OnlineEndpoint,
    ml: MachineLearning,
    azure: AzureFake,
    versions: dict[str, Bundle],
    state: str,
) -> None:
    deploy(cloud, versions["a"])
    made = next(iter(azure.store.all(DEPLOYMENTS)))
    made["properties"]["provisioningState"] = state
    azure.operations.polls = 12  # more than a plan reads
    azure.operations.start(
        azure.url, lambda: made["properties"].update(provisioningState="Succeeded")
    )
    plan = cloud.plan_deploy(versions["a"])
    assert ("wait_until_stable", {"state": state}) in [
        (s.operation, s.parameters) for s in plan.steps
    ]
    apply(plan, cloud)
    assert made["properties"]["provisioningState"] == "Succeeded"


def test_what_another_run_began_fails(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    made = next(iter(azure.store.all(DEPLOYMENTS)))
    made["properties"]["provisioningState"] = "Creating"
    ml.container_logs["InferenceServer"] = "Killed"
    plan = cloud.plan_deploy(versions["a"])
    made["properties"]["provisioningState"] = "Failed"
    with pytest.raises(NotHealthy, match=r"(?s)its state is Failed.*Killed"):
        apply(plan, cloud)
