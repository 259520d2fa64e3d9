"""What the library that made a model answers to requests of many kinds and lengths."""

from __future__ import annotations

import base64
import functools
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from tests.architectures import sentence
from tests.zoo.pairs import Pair
from tests.zoo.vocabularies import LENGTH

CANDIDATE_SPANS = 12  # that the pipeline looks at for one answer
TEXTS = (1, 2, 5, 9, 14, 40)  # words of the texts asked: the longest is beyond the model's length
CANDIDATES = {"candidate_labels": ["music", "sport", "great days"], "multi_label": False}


def answers(pair: Pair, folder: Path) -> list[dict[str, Any]]:
    """For each request its body, and the library's answer, as JSON has them."""
    embeds = pair.library == "sentence-transformers" and pair.task == "feature-extraction"
    ask = _sentences(folder) if embeds else ASK[pair.task](folder)
    return [{"body": body, "answer": _plain(ask(body))} for body in bodies(pair)]


def _plain(value: Any) -> Any:
    """`value` without what JSON lacks."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return _plain(value.tolist())
    return value


def bodies(pair: Pair) -> list[dict[str, Any]]:
    """The requests of a pair: texts of one to forty words, or pictures of several shapes."""
    draw = random.Random(pair.name)  # noqa: S311
    if not pair.vocabulary:
        pictures = [{"inputs": _picture(draw, size)} for size in ((40, 30), (33, 64), (32, 32))]
        found = {"parameters": {"threshold": 0.3}} if pair.task == "object-detection" else {}
        return [{**picture, **found} for picture in pictures]
    texts = [sentence(draw, words) for words in TEXTS]
    mask = pair.vocabulary.specials.get("mask")
    forms: dict[str, Callable[[str, str], Any]] = {
        "text-ranking": lambda text, _: {"query": text, "documents": texts},
        "sentence-similarity": lambda text, _: {"source_sentence": text, "sentences": texts},
        # cut, so that one window holds both
        "question-answering": lambda text, other: {"question": text[:8], "context": other[:30]},
        "fill-mask": lambda text, _: f"{text[:40]} {mask} days",
    }
    alone: Callable[[str, str], Any] = lambda text, _: text  # noqa: E731
    form = forms.get(pair.task, alone)
    more = {"parameters": CANDIDATES} if pair.task == "zero-shot-classification" else {}
    others = [*texts[1:], texts[0]]
    return [{"inputs": form(a, b), **more} for a, b in zip(texts, others, strict=True)]


def _picture(draw: random.Random, size: tuple[int, int]) -> str:
    width, height = size
    pixels = np.random.default_rng(draw.randrange(99)).integers(0, 255, (height, width, 3))
    held = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(held, "PNG")
    return base64.b64encode(held.getvalue()).decode()


def _pipeline(task: str, folder: Path) -> Any:
    return transformers.pipeline(task, model=str(folder), device="cpu")


def _asked(task: str, **theirs: Any) -> Callable[[Path], Callable[[dict[str, Any]], Any]]:
    def of(folder: Path) -> Callable[[dict[str, Any]], Any]:
        made = _pipeline(task, folder)
        return lambda body: made(body["inputs"], **theirs, **body.get("parameters", {}))

    return of


def _pictured(task: str) -> Callable[[Path], Callable[[dict[str, Any]], Any]]:
    def of(folder: Path) -> Callable[[dict[str, Any]], Any]:
        made = _pipeline(task, folder)

        def ask(body: dict[str, Any]) -> Any:
            picture = Image.open(io.BytesIO(base64.b64decode(body["inputs"])))
            return made(picture, **body.get("parameters", {}))

        return ask

    return of


def _sentences(folder: Path) -> Callable[[dict[str, Any]], Any]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return lambda body: model.encode(body["inputs"])


def _similarity(folder: Path) -> Callable[[dict[str, Any]], Any]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")

    def ask(body: dict[str, Any]) -> Any:
        source, others = (body["inputs"][name] for name in ("source_sentence", "sentences"))
        return model.similarity(model.encode([source]), model.encode(others))[0]

    return ask


def _ranked(folder: Path) -> Callable[[dict[str, Any]], Any]:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu", max_length=LENGTH)

    def ask(body: dict[str, Any]) -> Any:
        query, documents = (body["inputs"][name] for name in ("query", "documents"))
        rows = model.rank(query, documents)
        return [{"index": row["corpus_id"], "score": float(row["score"])} for row in rows]

    return ask


def _vectors(folder: Path) -> Callable[[dict[str, Any]], Any]:
    """By the model itself: the pipeline has no way to load an encoder without its decoder."""
    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = _loaded(folder)

    def ask(body: dict[str, Any]) -> Any:
        given = words(body["inputs"], truncation=True, return_tensors="pt")
        with torch.inference_mode():
            return model(**given)["last_hidden_state"]

    return ask


def _loaded(folder: Path) -> Any:
    config = transformers.AutoConfig.from_pretrained(folder)
    return getattr(transformers, config.architectures[0]).from_pretrained(folder).eval()


def _spans(folder: Path) -> Callable[[dict[str, Any]], Any]:
    """transformers 4's pipeline; in 5 there is none, so its parts are put together here, for what
    fits into one window."""
    if hasattr(transformers, "QuestionAnsweringPipeline"):
        made = _pipeline("question-answering", folder)
        return lambda body: made(**body["inputs"])
    words = transformers.AutoTokenizer.from_pretrained(folder)
    return functools.partial(_span, words, _loaded(folder))


def _span(words: Any, model: Any, body: dict[str, Any], longest: int = 15) -> dict[str, Any]:
    question, context = body["inputs"]["question"], body["inputs"]["context"]
    given = words(question, context, return_tensors="pt", return_offsets_mapping=True)
    assert given["input_ids"].shape[1] <= LENGTH
    given.pop("offset_mapping")
    with torch.inference_mode():
        out = model(**given)
    encoding = given.encodings[0]
    of_context = np.array([part == 1 for part in encoding.sequence_ids])
    first = np.array([token == words.cls_token_id for token in encoding.ids])
    shares = []
    for logits in (out["start_logits"][0].numpy(), out["end_logits"][0].numpy()):
        masked = np.where(of_context | first, logits, -10000.0)
        scores = np.exp(masked - masked.max())
        shares.append(np.where(first & ~of_context, 0, scores / scores.sum()))
    spans = np.tril(np.triu(np.outer(*shares)), longest - 1)
    found: dict[str, dict[str, Any]] = {}
    for position in np.argsort(-spans, axis=None)[:CANDIDATE_SPANS]:
        begin, last = map(int, np.unravel_index(int(position), spans.shape))
        if of_context[begin] and of_context[last]:
            start, _ = encoding.word_to_chars(encoding.token_to_word(begin), 1)
            _, end = encoding.word_to_chars(encoding.token_to_word(last), 1)
            text = context[start:end]
            kept = found.setdefault(
                text, {"score": 0.0, "start": start, "end": end, "answer": text}
            )
            kept["score"] += float(spans[begin, last])  # of all spans with this text
    return max(found.values(), key=lambda answer: answer["score"])


_CUT = {"truncation": True}
ASK: dict[str, Callable[[Path], Callable[[dict[str, Any]], Any]]] = {
    "text-classification": _asked("text-classification", top_k=None, **_CUT),
    "zero-shot-classification": _asked("zero-shot-classification"),
    "token-classification": _asked("token-classification"),
    "fill-mask": _asked("fill-mask", tokenizer_kwargs=_CUT),
    "feature-extraction": _vectors,
    "question-answering": _spans,
    "text-ranking": _ranked,
    "sentence-similarity": _similarity,
    "image-classification": _pictured("image-classification"),
    "image-feature-extraction": _pictured("image-feature-extraction"),
    "object-detection": _pictured("object-detection"),
}
