"""Whether a package fits a serverless container: by its size, and by its rehearsal."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import Refused
from onnxferry.infra.plan import Plan
from onnxferry.scripts.rehearse.record import FILE, RehearsalRecord
from tests.fakes.aws import AwsServer
from tests.infra.sagemaker.conftest import cloud, deploy

COMMAND = "onnxferry rehearse --target sagemaker --memory-mb 2048 --read-only"
SERVERLESS = {"mode": "serverless", "memory_mb": 2048}


@pytest.fixture
def bundle(bundles: tuple[Bundle, ...], tmp_path: Path) -> Bundle:
    """The first, in a folder of its own."""
    package, path = bundles[0].package, tmp_path / "model.tar.gz"
    path.write_bytes(package.path.read_bytes())
    return replace(bundles[0], package=replace(package, path=path))


def rehearsed(bundle: Bundle, **figures: Any) -> Bundle:
    """`bundle` with such a record beside it."""
    about = (bundle.package.sha256, "3.11", "the server", 10.0, 5.0, 6.0, 4.0)
    found = RehearsalRecord(*about, memory_mib=400.0, cpus=2, machine="this one")
    text = json.dumps(asdict(replace(found, **figures)))
    (bundle.package.path.parent / FILE).write_text(text)
    return bundle


def planned(bundle: Bundle, **settings: Any) -> Plan:
    return cloud(**{**SERVERLESS, **settings}).plan_deploy(bundle)


def test_what_was_not_rehearsed_so_is_noted_with_the_command(
    aws: AwsServer, bundle: Bundle
) -> None:
    (note,) = planned(bundle).summary.notes
    assert note == f"The package was not rehearsed here as a serverless container has it: {COMMAND}"
    (note,) = planned(rehearsed(bundle)).summary.notes
    assert note == f"The package was rehearsed without such limits: {COMMAND}"
    limits = {"memory_mb": 3072, "read_only": True}
    (note,) = planned(rehearsed(bundle, **limits)).summary.notes
    assert "with 3072 MB, more than it will have" in note


def test_what_was_rehearsed_so_needs_no_note(aws: AwsServer, bundle: Bundle) -> None:
    for memory in (1024, 2048):
        fits = rehearsed(bundle, memory_mb=memory, read_only=True)
        assert planned(fits).summary.notes == ()
    assert not any("rehearsed" in note for note in cloud().plan_deploy(bundle).summary.notes)


def test_another_packages_record_counts_for_nothing(aws: AwsServer, bundle: Bundle) -> None:
    other = rehearsed(bundle, sha256="0" * 64, memory_mib=9000.0)
    assert "not rehearsed here" in planned(other).summary.notes[0]


@pytest.mark.parametrize(
    ("needed", "advice"),
    [(2049.0, "memory_mb = 3072"), (5500.0, "memory_mb = 6144"), (6500.0, 'mode = "realtime"')],
)
def test_more_memory_than_a_container_has_is_refused(
    aws: AwsServer, bundle: Bundle, needed: float, advice: str
) -> None:
    aws.begin()
    with pytest.raises(Refused, match=rf"took {needed:.0f} MB, and memory_mb is 2048; .*{advice}"):
        planned(rehearsed(bundle, memory_mib=needed))
    assert all(call.reads for call in aws.calls)


@pytest.mark.parametrize(
    ("size", "said"),
    [(3 << 30, r"alone has 3072 MB.*memory_mb = 3072"), (6 << 30, r"has 6\.4 GB.*5\.4 GB of disk")],
)
def test_a_package_that_is_too_large_is_refused(
    aws: AwsServer, bundle: Bundle, size: int, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        planned(replace(bundle, package=replace(bundle.package, size=size)))


def test_a_slow_start_is_noted(aws: AwsServer, bundle: Bundle) -> None:
    limits = {"memory_mb": 2048, "read_only": True}
    (note,) = planned(rehearsed(bundle, start_seconds=200.0, **limits)).summary.notes
    assert "took 200 s to start" in note


def test_a_serverless_container_has_one_worker(aws: AwsServer, bundle: Bundle) -> None:
    deploy(bundle, **SERVERLESS)
    (model,) = aws.sagemaker._models.values()
    assert model.primary_container["Environment"]["SAGEMAKER_MODEL_SERVER_WORKERS"] == "1"
