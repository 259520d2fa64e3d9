"""Batch jobs of AzureML: a batch endpoint scores the files of a folder on a cluster, with the
online endpoint's own model and code, and needs no online endpoint for it.

A job appends the rows of all files to one file, in no order. When it has ended, NAME.out is made of
that for each file NAME whose rows are all there: which files have none is what the next job does.
"""

from __future__ import annotations
