"""What Docker asks of the server in this container: exit 0 where it is ready to answer."""

from __future__ import annotations

import os
import ssl
import sys
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection

PATH = "/v2/health/ready"


def ready(port: int, tls: bool) -> bool:
    """Whether the server on loopback answers 200, within four seconds. With `tls` its certificate
    is not checked: it is for the name by which clients know the server."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    kind = partial(HTTPSConnection, context=trusting) if tls else HTTPConnection
    connection = kind("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", PATH)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    tls = bool(os.environ.get("ONNXFERRY_SERVER_TLS_CERTIFICATE"))
    sys.exit(0 if ready(int(os.environ.get("PORT", "8080")), tls) else 1)
