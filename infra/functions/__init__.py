"""Azure Functions on Flex Consumption: a function app, and a candidate app beside it while its
successor proves itself.

Flex Consumption has no slots, holds one app a plan, and keeps no earlier package. So an update is
published to the app NAME-candidate first, on a plan of its own that costs nothing while nobody
calls it; when that has answered the golden request, the same package is published to the app NAME,
and the candidate goes. Publishing restarts the app's instances, which the platform does with a
short pause (its rolling update is a preview, "not recommended for production").
"""

from __future__ import annotations

from onnxferry.infra.functions.cloud import connect

__all__ = ["connect"]
