"""The plan of an update, as docs/deploy/sagemaker.md shows it."""

from __future__ import annotations

import re

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.plan_text import plan_text
from onnxferry.infra.prices.estimators import estimator
from onnxferry.infra.target_tables import SageMaker
from tests.documents import snippet
from tests.infra.sagemaker.conftest import NAME, cloud, deploy

PLAN = snippet("docs/deploy/sagemaker.md", "will serve on")


@pytest.mark.usefixtures("aws")
def test_the_page_shows_the_plan_of_an_update(bundles: tuple[Bundle, ...]) -> None:
    deploy(bundles[0])
    estimated = estimator("sagemaker", SageMaker(region="eu-west-1"))
    said = plan_text(estimated(cloud().plan_deploy(bundles[1]), bundles[1].package))
    assert unnumbered(said) == unnumbered(PLAN.replace("my-model", NAME))


def unnumbered(text: str) -> list[str]:
    """The words of a text without its hashes and account numbers."""
    return re.sub(r"[0-9a-f]{8,64}", "#", text).split()
