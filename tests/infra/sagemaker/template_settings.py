"""Settings of deploy.toml that together have each part of a template."""

from __future__ import annotations

from typing import Any

ALLOWED = "arn:aws:iam::123456789012"
SCALING: dict[str, Any] = {
    "min": 1,
    "max": 4,
    "target": 300.0,
    "schedule": [{"at": "cron(0 7 * * ? *)", "timezone": "Europe/Berlin", "min": 2}],
}
NETWORK = {"subnets": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"], "security_groups": ["sg-0a1b2c3d"]}
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "real time": {
        "serving": {
            "instance_type": "ml.c6i.large",
            "instance_count": 4,
            "variants": {"Large": {"instance_type": "ml.c6i.4xlarge", "weight": 0.5}},
        },
        "tags": {"team": "ml", "cost-center": "a/b"},
        "environment": {"ONNXFERRY_ENGINE_THREADS": "2", "LABEL": "${AWS::Region} %{if x} <&>"},
        "scaling": SCALING,
        "network": NETWORK,
        "capture": {"percent": 20},
        "rollout": {"traffic": "canary", "step_percent": 25, "other_alarms": ["theirs"]},
        "kms_key": "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f",
        "permissions_boundary": f"{ALLOWED}:policy/boundary",
    },
    "linear": {"serving": {"instance_count": 10}, "rollout": {"traffic": "linear"}},
    "serverless": {
        "serving": {
            "mode": "serverless",
            "memory_mb": 3072,
            "max_concurrency": 10,
            "provisioned_concurrency": 2,
        },
        "scaling": {"min": 2, "max": 8, "target": 0.7},
    },
    "async": {
        "serving": {
            "mode": "async",
            "output": "s3://answers/squad/",
            "success_topic": "arn:aws:sns:eu-west-1:123456789012:done",
            "error_topic": "arn:aws:sns:eu-west-1:123456789012:failed",
            "concurrency": 4,
        },
        "scaling": {"min": 0, "max": 4, "target": 5.0},
    },
    "given": {
        "bucket": "theirs",
        "role": f"{ALLOWED}:role/theirs",
        "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/own:1",
    },
}
