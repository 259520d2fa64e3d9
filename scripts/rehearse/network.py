"""The network that a rehearsed host has: by default none but loopback, so that what would reach out
in the cloud fails here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from onnxferry.scripts.rehearse.hosts.supervisor import OUTSIDE
from onnxferry.scripts.rehearse.processes import SUPERVISOR
from onnxferry.system.errors import RehearsalError

# where nothing listens
_REFUSING = dict.fromkeys(
    ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
    "http://127.0.0.1:9",
) | dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")


@dataclass(frozen=True)
class Network:
    """`said` is what a reader is told of it, `variables` are for the host's environment, `front` is
    what the supervisor is told before the port."""

    said: str
    variables: Mapping[str, str] = field(default_factory=dict)
    front: tuple[str, ...] = ()

    def command(self, port: int, *words: object) -> tuple[object, ...]:
        """The program `words`, which listens on `port`, as `running` takes it."""
        return (*self.front, port, *words) if self.front else words


def refusal() -> str:
    """Why this machine lets no empty network be made; "" where it does."""
    probe = [sys.executable, "-ES", str(SUPERVISOR), "--cut-off"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2]


def choose(egress: bool | None = None, refusal: Callable[[], str] = refusal) -> Network:
    """The host's network: open with `egress`; else cut off, or, where this machine does not let it
    and `egress` is None, open but for proxies that refuse. Raises RehearsalError where it must be
    cut off and cannot."""
    if egress:
        return Network("open, as you asked: whether the package needs it is not shown")
    why = refusal()
    if not why:
        said = f"cut off: nothing but loopback; {OUTSIDE[0]} was unreachable"
        return Network(said, front=("--cut-off",))
    if egress is False:
        raise RehearsalError(
            f"the network cannot be cut off on this machine ({why}). Rehearse on Linux as root, or"
            " where users may make namespaces (in a container: --cap-add SYS_ADMIN), or leave out"
            " --no-egress"
        )
    lacking = "only programs that ask a proxy are refused"
    return Network(f"NOT cut off, {lacking}: {why}", _REFUSING)
