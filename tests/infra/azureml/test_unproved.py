"""What a run has begun and not proved is removed when it fails, or named with what it costs."""

from __future__ import annotations

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.errors import CloudError, NotHealthy, QuotaExceeded, WrongAnswer
from onnxferry.infra.plan import Step
from onnxferry.system.console import Progress
from tests.fakes.azure import Answer, AzureFake
from tests.fakes.azure.http import hidden
from tests.fakes.azure.providers.assets import WORKSPACES
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, MachineLearning
from tests.infra.azureml.conftest import connected, deploy
from tests.infra.azureml.test_errors import failure
from tests.infra.azureml.test_flow import endpoint, names
from tests.infra.azureml.test_ours import ASSETS, files
from tests.infra.quiet import QuietReport
from tests.infra.replaced import Replaced


def spoil(ml: MachineLearning, cloud: OnlineEndpoint, bundle: Bundle) -> None:
    """Let the deployment of `bundle` answer what is not golden."""
    steps = cloud.plan_deploy(bundle).steps
    model = next(step.name.partition(":")[2] for step in steps if step.resource == "model")
    ml.answers[model] = b'{"answer": "Bob"}'


def there(azure: AzureFake) -> list[list[str]]:
    return [*(names(azure, type_) for type_ in (ENDPOINTS, DEPLOYMENTS, *ASSETS)), files(azure)]


@pytest.mark.parametrize("before", ["", "a"])
def test_a_wrong_candidate_is_removed_with_all_that_was_made_for_it(
    cloud: OnlineEndpoint,
    ml: MachineLearning,
    azure: AzureFake,
    versions: dict[str, Bundle],
    before: str,
) -> None:
    for name in before:
        deploy(cloud, versions[name])
    state = there(azure)
    spoil(ml, cloud, versions["b"])
    text = failure(WrongAnswer, cloud, versions["b"])
    assert there(azure) == state
    assert "Removed what was not proved: deployment v" in text
    assert "billed by the hour" not in text


def test_a_first_endpoint_that_fails_once_it_serves_is_removed(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    def spoiled(step: Step, progress: Progress) -> None:
        if step.parameters["traffic"]:
            spoil(ml, cloud, versions["a"])
        cloud.execute(step, progress)

    plan = cloud.plan_deploy(versions["a"])
    with pytest.raises(WrongAnswer, match="Removed what was not proved") as caught:
        apply(plan, Replaced(cloud, {"update_endpoint": spoiled}), QuietReport())
    assert "failed too" not in str(caught.value)
    assert there(azure) == [[]] * 6


def test_what_cannot_be_removed_is_named_with_its_cost_and_how_to_remove_it(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    spoil(ml, cloud, versions["b"])
    azure.arm.denied.add(f"DELETE {DEPLOYMENTS}")
    text = failure(WrongAnswer, cloud, versions["b"])
    left = next(name for name in names(azure, DEPLOYMENTS) if versions["b"].version in name)
    assert f"Left: deployment {left} (billed by the hour)" in text
    assert "delete --target azureml --name squad --unproved" in text
    marked = {name: state for kind, name, state in cloud.status().resources}
    assert marked[left].endswith("not proved, billed by the hour")
    azure.arm.denied.clear()
    apply(cloud.plan_delete_unproved(), cloud)
    assert len(names(azure, DEPLOYMENTS)) == 1
    assert cloud.status().version == versions["a"].version
    assert not cloud.plan_delete_unproved().steps
    assert not cloud.plan_deploy(versions["a"]).changes


@pytest.mark.parametrize("before", ["", "a", "ab"])
def test_what_is_kept_to_be_looked_at_can_be_removed_later(
    cloud: OnlineEndpoint,
    ml: MachineLearning,
    azure: AzureFake,
    versions: dict[str, Bundle],
    before: str,
) -> None:
    for name in before:
        deploy(cloud, versions[name])
    spoil(ml, cloud, versions["c"])
    text = failure(WrongAnswer, cloud, versions["c"], keep_failed=True)
    assert "Kept, as --keep-failed says: model files squad:" in text
    apply(cloud.plan_delete_unproved(), cloud)
    left = [name for name in names(azure, DEPLOYMENTS) if versions["c"].version in name]
    assert not left
    assert bool(names(azure, ENDPOINTS)) == bool(before)
    assert cloud.status().version == (versions[before[-1]].version if before else "")


def test_a_refused_deployment_leaves_nothing_and_says_why(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    said = "Not enough quota available for Standard_F2s_v2. Current usage/limit: 100/100"
    refusal = Answer(400, {"error": hidden("OutOfQuota", said)})
    azure.arm.refusals[DEPLOYMENTS.lower()] = refusal
    text = failure(QuotaExceeded, cloud, versions["a"])
    assert said in text
    assert there(azure) == [[]] * 6


def test_the_image_that_does_not_build_is_told_by_what_is_below_the_message(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    azure.arm.failures[DEPLOYMENTS.lower()] = hidden("ResourceNotReady", "User container crashed")
    text = failure(NotHealthy, cloud, versions["a"])
    assert "User container crashed" in text
    assert there(azure) == [[]] * 6


def test_an_unproved_deployment_of_a_killed_run_is_removed_when_it_fails_again(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    plan = cloud.plan_deploy(versions["b"])
    begun = plan.steps[: [s.operation for s in plan.steps].index("create_deployment") + 1]
    for step in begun:  # and then the run was killed
        if step.operation:
            cloud.execute(step, lambda text: None)
    assert len(names(azure, DEPLOYMENTS)) == 2
    spoil(ml, cloud, versions["b"])
    failure(WrongAnswer, cloud, versions["b"])
    assert len(names(azure, DEPLOYMENTS)) == 1


def test_a_previous_version_that_fails_stays(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    spoil(ml, cloud, versions["a"])
    with pytest.raises(WrongAnswer):
        deploy(cloud, versions["a"])
    assert len(names(azure, DEPLOYMENTS)) == 2
    assert len(names(azure, f"{WORKSPACES}/models/versions")) == 2


def test_a_restore_that_finds_the_traffic_moved_leaves_it(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    (first,) = names(azure, DEPLOYMENTS)

    def moved(step: Step, progress: Progress) -> None:
        if "expected" in step.parameters:  # somebody puts half of it back while it is proved
            second = step.parameters["expected"]
            endpoint(azure)["properties"]["traffic"] = {first: 50, second: 50}
            raise NotHealthy("no")
        cloud.execute(step, progress)

    with pytest.raises(CloudError, match="somebody else has moved it"):
        apply(cloud.plan_deploy(versions["b"]), Replaced(cloud, {"smoke": moved}), QuietReport())
    assert set(endpoint(azure)["properties"]["traffic"]) == set(names(azure, DEPLOYMENTS))


def test_an_update_needs_twice_the_instances_and_says_so(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for keep in (True, False):
        cloud = connected(keep_previous=keep)
        for name in "abc":
            plan = cloud.plan_deploy(versions[name])
            apply(plan, cloud, QuietReport())
            assert plan.summary.peak == f"{ml.most} x Standard_F2s_v2"
        assert ml.most == 2
        assert len(names(azure, DEPLOYMENTS)) == 1 + keep
        assert bool(cloud.status().previous) == keep
