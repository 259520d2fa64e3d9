"""Azure on loopback: sign-in, resource manager, blob storage and each service's own hosts behind
one TLS port.

    with AzureFake() as azure, azure.reachable():          # the SDKs find it by the environment
        ...
        azure.store.get("/subscriptions/.../sites/squad")  # a test asserts on its state

It holds state, takes its time (operations need several polls), fails on demand, checks every body
that it gets, and records every call. Each service is one file in providers/.
"""

from __future__ import annotations

from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, error
from tests.fakes.azure.store import Resource, Store

__all__ = ["Answer", "AzureFake", "Call", "Resource", "Store", "error"]
