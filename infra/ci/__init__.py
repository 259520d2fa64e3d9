"""What `ci` writes: a pipeline that prepares, rehearses, plans, deploys by approval and rolls back,
and beside it whom it signs in as. It holds no key: the provider signs a token for each job (OIDC),
and the cloud trusts the tokens of one repository's environments.

A provider is a row of PROVIDERS, a cloud a row of CLOUDS in `writing`. What a job runs is the same
on all of them (`jobs`); a provider's file says when, and how it signs in.
"""

from __future__ import annotations

from onnxferry.infra.ci.delivery import DeliveryPipeline
from onnxferry.infra.ci.writing import PROVIDERS, files, targets, written

__all__ = ["PROVIDERS", "DeliveryPipeline", "files", "targets", "written"]
