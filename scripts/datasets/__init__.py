"""Evaluation sets as they are published, a user's own, and the inputs that are built in.

    items = datasets.read(path, task, labels)       # a file or folder, by task and suffix
    payloads = built_in.payloads("question-answering") # request bodies that ship with onnxferry

`prepare`, `evaluate` and `benchmark` all ask their models these.
"""

from onnxferry.scripts.datasets.dataset import digest, evenly, read, title
from onnxferry.scripts.datasets.readers import READERS, Item

__all__ = ["READERS", "Item", "digest", "evenly", "read", "title"]
