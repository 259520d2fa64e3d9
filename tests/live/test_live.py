"""One test, two places: the fakes, and with --run-live TARGET --live-config deploy.toml the
account of whoever runs it, where it makes an endpoint of its own and deletes it at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from onnxferry.targets import clouds, keyed, templated
from tests.live.live_flow import Command, in_mode, live_flow, mirror_flow, template_flow

# a registry serves nothing by itself: tests/infra/mlflow/test_server.py goes the way at a real one
SERVING = [target for target in clouds() if target != "mlflow"]


@pytest.mark.parametrize("target", SERVING)
@pytest.mark.parametrize("place", ["fake", "account"])
@pytest.mark.timeout(4 * 3600)
def test_the_whole_way(
    target: str, place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    at: Callable[[str], Command] = request.getfixturevalue(f"on_{place}")
    live_flow(at(target), tmp_path, keyed=target in keyed())


WAYS = [("sagemaker", "variants"), ("sagemaker", "serverless"), ("sagemaker", "async")]
WAYS += [("azureml", "canary"), ("azureml", "scaling")]


@pytest.mark.parametrize(("target", "mode"), WAYS)
@pytest.mark.parametrize("place", [pytest.param("fake", marks=pytest.mark.rounds), "account"])
@pytest.mark.timeout(4 * 3600)
def test_each_way_of_serving(
    target: str, mode: str, place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    at: Callable[[str], Command] = request.getfixturevalue(f"on_{place}")
    live_flow(in_mode(mode, at(target)), tmp_path)


@pytest.mark.parametrize("place", [pytest.param("fake", marks=pytest.mark.rounds), "account"])
@pytest.mark.timeout(4 * 3600)
def test_a_mirror_first(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    at: Callable[[str], Command] = request.getfixturevalue(f"on_{place}")
    mirror_flow(at("azureml"), tmp_path)


@pytest.mark.parametrize("target", templated())
@pytest.mark.parametrize("place", [pytest.param("fake", marks=pytest.mark.rounds), "account"])
@pytest.mark.timeout(4 * 3600)
def test_a_template_first(
    target: str, place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    at: Callable[[str], Command] = request.getfixturevalue(f"on_{place}")
    template_flow(at(target), tmp_path)
