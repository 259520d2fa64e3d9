"""AWS on loopback: moto's real server, and on top of it what moto lacks of SageMaker.

    with aws_server() as aws:                    # AWS_ENDPOINT_URL=aws.url leads any AWS SDK or CLI
    there
        connect(config, "squad", CLOCK)
        aws.endpoints["squad"].config        # assert on what is there

Every request is checked against botocore's service model; what is wrong ends in aws.violations.
"""

from __future__ import annotations

from tests.fakes.aws.faults import Fault
from tests.fakes.aws.server import ACCOUNT, REGION, AwsServer, aws_server

__all__ = ["ACCOUNT", "REGION", "AwsServer", "Fault", "aws_server"]
