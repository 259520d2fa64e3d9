"""Mutated requests through Scorer.handle: whatever comes, a Response, a documented status, and
bounded memory.

    python -m tests.fuzz --requests 100000            all models in turn, all media types; prints
    the seed
    python -m tests.fuzz --seed 7 --model tensors --only 4711    one request again

New tasks and media types join by themselves, from scoring's tables: a task needs its tiny model in
tests/tiny.py under its name, and an entry in valid.PAYLOADS if its requests are not one text or a
list of texts.
"""

from __future__ import annotations

from tests.fuzz.run import Outcome, fuzz, scorers

__all__ = ["Outcome", "fuzz", "scorers"]
