"""What runs the image: compose.yaml, kubernetes.yaml and kserve.yaml, with the same limits and
probes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onnxferry.scripts.package import conda
from onnxferry.scripts.package.container_sizes import GRACE_SECONDS, PORT, UID, Sizes

LIVE, READY = "/v2/health/live", "/v2/health/ready"
_PERIOD = 5  # seconds
# it serves on while what routes to it learns that it ends, so that no preStop has to wait
_ENVIRONMENT = {"ONNXFERRY_SERVER_DRAIN_SECONDS": 5, "ONNXFERRY_SERVER_STOP_SECONDS": 30}
_CLOSED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def compose(image: str, sizes: Sizes) -> bytes:
    """The text of compose.yaml: `docker compose up --build`. The port is for this machine alone."""
    service = {
        "image": image,
        "build": {"context": ".", "network": "none"},
        "ports": [f"127.0.0.1:{PORT}:{PORT}"],
        "environment": {"ONNXFERRY_SERVER_STOP_SECONDS": "30"},
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 256,
        "stop_grace_period": f"{GRACE_SECONDS}s",
        "restart": "unless-stopped",
        "deploy": {"resources": {"limits": _compose_limits(sizes)}},
    }
    return _yaml({"services": {_name(image): service}})


def _compose_limits(sizes: Sizes) -> dict[str, str]:
    return {"cpus": str(sizes.cpus), "memory": f"{sizes.memory_mib}M"}


def kubernetes(image: str, sizes: Sizes) -> bytes:
    """The text of kubernetes.yaml: a Deployment of two, so that a node can be emptied, a Service,
    and a PodDisruptionBudget."""
    name, labels = _name(image), _labels(image)
    selector = {"app.kubernetes.io/name": name}
    spec = {**_pod(), "containers": [_container("server", image, sizes)]}
    deployment = {
        "replicas": 2,
        "selector": {"matchLabels": selector},
        # a new one is ready before an old one ends
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": labels}, "spec": spec},
    }
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": selector}}
    return b"---\n".join(
        (
            _object("apps/v1", "Deployment", image, deployment),
            _object("v1", "Service", image, {"selector": selector, "ports": ports}),
            _object("policy/v1", "PodDisruptionBudget", image, budget),
        )
    )


def kserve(image: str, sizes: Sizes) -> bytes:
    """The text of kserve.yaml: an InferenceService with a container of its own, which speaks the
    Open Inference Protocol, in KServe's mode that needs no Knative."""
    container = _container("kserve-container", image, sizes)
    predictor = {"minReplicas": 1, "maxReplicas": 4, **_pod(), "containers": [container]}
    mode = {"serving.kserve.io/deploymentMode": "RawDeployment"}
    kind = ("serving.kserve.io/v1beta1", "InferenceService")
    return _object(*kind, image, {"predictor": predictor}, mode)


def _pod() -> dict[str, Any]:
    """Without service links: a Service called onnxferry-server would set ONNXFERRY_SERVER_PORT."""
    user = {"runAsNonRoot": True, "runAsUser": UID, "runAsGroup": UID}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
    }


def _container(name: str, image: str, sizes: Sizes) -> dict[str, Any]:
    memory = f"{sizes.memory_mib}Mi"
    failures = sizes.start_seconds // _PERIOD
    return {
        "name": name,
        "image": image,
        "env": [{"name": name, "value": str(value)} for name, value in _ENVIRONMENT.items()],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": {
            "requests": {"cpu": f"{sizes.cpus * 500}m", "memory": memory},
            "limits": {"cpu": str(sizes.cpus), "memory": memory},
        },
        "startupProbe": _probe(READY, failures),
        "readinessProbe": _probe(READY, 2),
        "livenessProbe": _probe(LIVE, 6),
        "securityContext": _CLOSED,
    }


def _probe(path: str, failures: int) -> dict[str, Any]:
    wait = {"periodSeconds": _PERIOD, "timeoutSeconds": 4, "failureThreshold": failures}
    return {"httpGet": {"path": path, "port": "http"}, **wait}


def _object(
    version: str, kind: str, image: str, spec: Any, annotations: Mapping[str, str] = {}
) -> bytes:
    metadata: dict[str, Any] = {"name": _name(image), "labels": _labels(image)}
    if annotations:
        metadata["annotations"] = dict(annotations)
    data = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    return _yaml(data)


def _yaml(data: dict[str, Any]) -> bytes:
    """Without anchors: what stands twice is written twice."""
    return conda.to_yaml(json.loads(json.dumps(data)))


def _name(image: str) -> str:
    return image.partition(":")[0]


def _labels(image: str) -> dict[str, str]:
    name, _, version = image.partition(":")
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/version": version}
