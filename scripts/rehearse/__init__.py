"""A rehearsal: a built package in its platform's real hosting runtime, on loopback, answers the
golden request.

rehearsal = rehearse(package)          # start, prove, measure, stop
with start(package) as host:           # or keep it up for as long as the block runs
    answer = host.send(request)
"""

from __future__ import annotations

from onnxferry.scripts.golden_check import Reply
from onnxferry.scripts.rehearse.host import Host
from onnxferry.scripts.rehearse.rehearsal import Conditions, Rehearsal, rehearse
from onnxferry.scripts.rehearse.start import start
from onnxferry.system.pythons import find_python

__all__ = ["Conditions", "Host", "Rehearsal", "Reply", "find_python", "rehearse", "start"]
