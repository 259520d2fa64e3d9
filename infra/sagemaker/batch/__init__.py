"""Batch Transform: SageMaker scores the files below a prefix in S3 with the endpoint's own model
and container, and needs no endpoint for it.

A job reads the files that a manifest lists, and writes NAME.out for each file NAME that it could
answer. Which files have none is what the next job's manifest lists.
"""

from __future__ import annotations
