"""Evaluation sets, published or a user's own, and built-in inputs: what prepare, evaluate and
benchmark ask their models.

    items = datasets.read(path, task, labels)  # a file or folder, by task and suffix
    payloads = built_in.payloads("question-answering")  # request bodies
"""

from onnxferry.scripts.datasets.dataset import digest, evenly, read, title
from onnxferry.scripts.datasets.readers import READERS, Item

__all__ = ["READERS", "Item", "digest", "evenly", "read", "title"]
