"""Which kinds of CPU a test holds for.

Full-range int8 weights overflow in 16 bits on some kinds (scoring.cpu.saturates), so a test that
runs them says which kinds it needs. Tests of reduced range (7 bits) hold everywhere.
"""

from __future__ import annotations

import pytest

from onnxferry.scoring import cpu

EXACT = tuple(kind for kind in cpu.KINDS if not cpu.saturates(kind))
"""The kinds on which full-range int8 is exact."""


def needs_cpu(*kinds: str) -> pytest.MarkDecorator:
    """Skip the test on a machine of another kind; kinds as in scoring.cpu.KINDS."""
    unknown = set(kinds) - set(cpu.KINDS)
    if unknown or not kinds:
        raise ValueError(f"expected some of {', '.join(cpu.KINDS)}, got {kinds}")
    here = cpu.kind()
    return pytest.mark.skipif(here not in kinds, reason=f"holds for {', '.join(kinds)}, not {here}")
