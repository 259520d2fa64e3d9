"""Two processes that change one endpoint at once, one of them maybe killed: what each was told, for
the tests of what is live then."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import pytest

from onnxferry.infra import lease
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.errors import CloudError, LeaseHeld, LeaseLost
from onnxferry.infra.execution import Consent, execute

SECONDS = 3.0  # of a test's leases: a killed run's expires soon
Work = Callable[[], str]


@dataclass(frozen=True)
class Told:
    """How a process ended: "done" with the version that it says is live, "held" or "lost" by the
    lease, "failed" with its error, "killed"; and when (time.monotonic, in seconds)."""

    how: str
    text: str
    at: float


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that expire after SECONDS."""
    monkeypatch.setattr(lease, "this_run", partial(lease.this_run, seconds=SECONDS))


def deploying(endpoint: OnlineEndpoint, bundle: Bundle, *, force: bool = False) -> str:
    """Deploy as the command does; the version that is then live."""
    consent = Consent(yes=True, terminal=False)
    execute(lambda: endpoint.plan_deploy(bundle), endpoint, consent, force)
    return endpoint.status().version


def at_once(works: Sequence[Work], kill: float | None = None) -> list[Told]:
    """Run `works` in a process each, all at once. With `kill`, the first is killed after so many
    seconds, unless it has ended."""
    children = [_started(work) for work in works]
    if kill is not None:
        first = os.pidfd_open(children[0][0])
        timer = threading.Timer(kill, _kill, (first,))
        timer.start()
    told = [_ended(*child) for child in children]
    if kill is not None:
        timer.cancel()
        timer.join()
        os.close(first)
    return told


def truthful(told: Sequence[Told], live: str, before: str) -> None:
    """Assert that what is `live` is what the last process said that ended well; or, where none did,
    what was live `before`, or what a killed one was about to put there."""
    done = sorted((one for one in told if one.how == "done"), key=lambda one: one.at)
    if done and not any(one.how == "killed" for one in told):
        assert live == done[-1].text, told
    elif not any(one.how == "killed" for one in told):
        assert live == before, told
    assert all(one.how in {"done", "held", "lost", "killed"} for one in told), told


def _started(work: Work) -> tuple[int, int]:
    """A copy of this process that does `work`: its id, and where it says how that ended."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        gc.disable()  # what other threads held cannot be collected after a fork
        os.close(read)
        os.write(write, json.dumps(_told(work)).encode())
        os._exit(0)
    os.close(write)
    return child, read


def _told(work: Work) -> tuple[str, str, float]:
    try:
        how, text = "done", work()
    except LeaseHeld as e:
        how, text = "held", str(e)
    except LeaseLost as e:
        how, text = "lost", str(e)
    except CloudError as e:
        how, text = "failed", str(e)
    except BaseException:
        how, text = "failed", traceback.format_exc()
    return how, text[-4000:], time.monotonic()


def _ended(child: int, read: int) -> Told:
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return Told(*json.loads(said)) if said else Told("killed", "", time.monotonic())


def _kill(child: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(child, signal.SIGKILL)
