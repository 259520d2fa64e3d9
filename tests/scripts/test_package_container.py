"""The container's package: a folder for `docker build`, and what runs the image, each held to its
schema."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml  # type: ignore[import-untyped]

from onnxferry.scoring import ModelSpec
from onnxferry.scripts.package import Package, package
from onnxferry.scripts.package.container_sizes import Sizes
from onnxferry.scripts.rehearse import dockerfile
from onnxferry.targets.local import gate
from tests import tiny
from tests.packages import bare, quiet

OLDEST, NEWEST = "1.31", "1.37"  # of Kubernetes, whose schemas the manifests are held to
# the part of the Compose Specification that is used
COMPOSE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "services": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "image": {"type": "string"},
                    "build": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "context": {"type": "string"},
                            "network": {"type": "string"},
                        },
                    },
                    "ports": {"type": "array", "items": {"pattern": r"^127\.0\.0\.1:\d+:\d+$"}},
                    "environment": {
                        "type": "object",
                        "additionalProperties": {"type": ["string", "number", "boolean"]},
                    },
                    "read_only": {"type": "boolean"},
                    "cap_drop": {"type": "array", "items": {"type": "string"}},
                    "security_opt": {"type": "array", "items": {"type": "string"}},
                    "pids_limit": {"type": "number"},
                    "stop_grace_period": {"type": "string", "pattern": r"^\d+s$"},
                    "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
                    "deploy": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "resources": {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": {
                                    "limits": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "cpus": {"type": ["string", "number"]},
                                            "memory": {"type": "string"},
                                        },
                                    }
                                },
                            }
                        },
                    },
                },
            },
        }
    },
}
# of KServe's InferenceService what is no part of a pod; the rest is held to a pod's schema
KSERVE = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "serving.kserve.io/v1beta1"},
        "kind": {"const": "InferenceService"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "predictor": {
                    "type": "object",
                    "required": ["containers"],
                    "properties": {
                        "minReplicas": {"type": "integer"},
                        "maxReplicas": {"type": "integer"},
                    },
                }
            },
        },
    },
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("container")
    return make(tiny.question_answering(folder / "model"), folder)


def make(model: Path, out: Path) -> Package:
    """Without the libraries, which test_package_wheels and the rehearsal tell of."""
    return package(model, bare("container"), out=out, report=quiet)


def documents(built: Package, name: str) -> list[Any]:
    return list(yaml.safe_load_all((built.path / name).read_text()))


def containers(built: Package) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each pod and its container, of the Deployment and of the InferenceService."""
    pod = documents(built, "kubernetes.yaml")[0]["spec"]["template"]["spec"]
    predictor = documents(built, "kserve.yaml")[0]["spec"]["predictor"]
    return [(each, each["containers"][0]) for each in (pod, predictor)]


def test_the_image_gets_the_local_package_and_nothing_else(built: Package) -> None:
    folders = {path.name for path in built.path.iterdir() if path.is_dir()}
    assert folders == {"server", "model"}  # and libraries, which are left out here
    image = dockerfile.read(built.path / "Dockerfile")
    copied = {step.words[0] for step in image.steps if step.name == "COPY"}
    assert copied == {"libraries/", "server/", "model/"}
    ignored = (built.path / ".dockerignore").read_text().splitlines()
    assert {f"!{name[:-1]}" for name in copied} | {"*"} == set(ignored)


def test_the_server_in_it_is_the_local_package_byte_for_byte(tmp_path: Path) -> None:
    """So what is proved of the local one, request by request, holds for the image."""
    model = tiny.question_answering(tmp_path / "model")
    local = {m.path: m.sha256 for m in package(model, "local", out=tmp_path, report=quiet).members}
    mine = {m.path: m.sha256 for m in make(model, tmp_path).members}

    for path, content in local.items():
        assert mine[path if path.startswith("model/") else f"server/{path}"] == content
    assert set(mine) - {f"server/{path}" for path in local} - set(local) == {
        ".dockerignore",
        "Dockerfile",
        "compose.yaml",
        "kserve.yaml",
        "kubernetes.yaml",
        "server/healthcheck.py",
    }


def test_the_dockerfile_passes_hadolint(built: Package) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("no hadolint in this environment")
    words = [str(hadolint), "--failure-threshold", "style", str(built.path / "Dockerfile")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_the_image_says_what_it_is_and_how_it_runs(built: Package) -> None:
    image = dockerfile.read(built.path / "Dockerfile")
    assert image.base == "python:3.12-slim-trixie"
    assert image.user == "10001:10001"
    assert image.entry == ("python", "server.py")
    assert image.port == image.variables["PORT"] == "8080"
    assert image.labels["onnxferry.model"] == "tiny-qa"
    assert image.labels["org.opencontainers.image.base.name"] == image.base
    content = image.labels["onnxferry.content.sha256"]
    assert re.fullmatch("[0-9a-f]{64}", content)
    tag = f"tiny-qa:{image.labels['org.opencontainers.image.version']}"
    assert tag == f"tiny-qa:sha-{content[:12]}"
    assert documents(built, "compose.yaml")[0]["services"]["tiny-qa"]["image"] == tag
    assert {container["image"] for _, container in containers(built)} == {tag}


def test_the_version_changes_with_what_is_copied_in(built: Package, tmp_path: Path) -> None:
    model = tiny.question_answering(tmp_path / "model")
    same = make(model, tmp_path / "same")
    spec = json.loads((model / "model_spec.json").read_text())
    (model / "model_spec.json").write_text(json.dumps({**spec, "precision": "int8"}))
    other = make(model, tmp_path / "other")

    labels = [dockerfile.read(p.path / "Dockerfile").labels for p in (built, same, other)]
    versions = [label["onnxferry.content.sha256"] for label in labels]
    assert versions[0] == versions[1] != versions[2]
    assert same.sha256 == built.sha256 != other.sha256


def test_what_a_spec_says_cannot_write_into_the_dockerfile(tmp_path: Path) -> None:
    model = tiny.text_classification(tmp_path / "model")
    spec = replace(ModelSpec.read(model), precision='fp32"\nUSER root\n$BASE\\')
    image = dockerfile.read(make(tiny.write_spec(model, spec), tmp_path).path / "Dockerfile")
    assert image.labels["onnxferry.precision"] == "fp32__USER_root__BASE_"
    assert image.user == "10001:10001"


def test_kubernetes_takes_the_manifests(built: Package) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate")
    found = documents(built, "kubernetes.yaml")
    for version in (OLDEST, NEWEST):
        for manifest in found:
            kubernetes.validate(manifest, version, strict=True)
    assert [manifest["kind"] for manifest in found] == [
        "Deployment",
        "Service",
        "PodDisruptionBudget",
    ]
    wrong = json.loads(json.dumps(found[0]))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(wrong, NEWEST, strict=True)


def test_kserve_takes_the_inference_service(built: Package) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate")
    (service,) = documents(built, "kserve.yaml")
    jsonschema.validate(service, KSERVE)
    replicas = ("minReplicas", "maxReplicas")
    pod = {k: v for k, v in service["spec"]["predictor"].items() if k not in replicas}
    metadata = {"name": service["metadata"]["name"]}
    as_pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}
    kubernetes.validate(as_pod, NEWEST, strict=True)
    assert pod["containers"][0]["name"] == "kserve-container"  # KServe's name for it


def test_compose_takes_its_file(built: Package) -> None:
    (compose,) = documents(built, "compose.yaml")
    jsonschema.validate(compose, COMPOSE)
    (service,) = compose["services"].values()
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_a_pod_is_closed(built: Package) -> None:
    for pod, container in containers(built):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_probes_ask_what_the_server_answers(built: Package) -> None:
    for _, container in containers(built):
        assert container["livenessProbe"]["httpGet"]["path"] in gate.LIVE
        for probe in ("startupProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["path"] in gate.READY
        assert container["ports"][0]["containerPort"] == 8080


def test_a_pod_gets_longer_to_end_than_its_server_takes(built: Package) -> None:
    for pod, container in containers(built):
        seconds = {v["name"]: float(v["value"]) for v in container["env"]}
        drain = seconds["ONNXFERRY_SERVER_DRAIN_SECONDS"]
        taken = drain + seconds["ONNXFERRY_SERVER_STOP_SECONDS"]
        assert taken < pod["terminationGracePeriodSeconds"]
        # and it serves on for as long as the readiness probe takes to notice
        assert drain >= container["readinessProbe"]["periodSeconds"]


@pytest.mark.parametrize(
    ("model_mb", "memory_mib", "start_seconds"),
    [(0, 384, 60), (34, 512, 61), (91, 640, 64), (436, 1472, 80), (2_000, 5184, 155)],
)
def test_memory_and_time_follow_from_the_models_size(
    model_mb: int, memory_mib: int, start_seconds: int
) -> None:
    assert Sizes.of(model_mb * 1_000_000) == Sizes(memory_mib, start_seconds)


def test_everyone_may_read_the_files_whatever_the_umask(built: Package, tmp_path: Path) -> None:
    """The image's user is another than who built the package."""
    model = shutil.copytree(built.path / "model", tmp_path / "model")
    (model / "model.onnx").chmod(0o600)
    before = os.umask(0o077)
    try:
        folder = make(model, tmp_path).path
    finally:
        os.umask(before)
    assert {oct(p.stat().st_mode & 0o777) for p in folder.rglob("*") if p.is_file()} == {"0o644"}
    assert {oct(p.stat().st_mode & 0o777) for p in folder.rglob("*") if p.is_dir()} == {"0o755"}
    # equal times too, so that the layers of equal files are equal
    assert len({p.stat().st_mtime for p in folder.rglob("*") if p.is_file()}) == 1
