"""Extractive question answering: the answer is a span of the context, cut out by its character offsets.

Request: {"inputs": {"question", "context"} | [...], "parameters": {"top_k", "max_answer_len", "doc_stride",
"handle_impossible_answer", "align_to_words"}}; {"question", "context"} alone is read as inputs.
Answer: {"score", "start", "end", "answer"}, or with top_k > 1 a list of them, best first; a list is answered by a list.

The method is in scoring/spans.py. A context that is longer than the model is read through windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoring import fields
from scoring.batching import TextModel
from scoring.contract import JSON, TOKENIZER_FILE, ModelSpec
from scoring.engine import Array, Session
from scoring.errors import InvalidValue, TooLarge
from scoring.spans import Span, Window, best_spans, count_windows, windows
from scoring.tokenization import Pair, Tokenizer

WINDOWS = 8192  # of one request: its memory and time; at the usual stride two million tokens
ANSWERS = 10_000  # of one request, questions x top_k


@dataclass(frozen=True)
class Question:
    question: str
    context: str
    where: str  # the path of its fields in the request, for messages


def read_question(value: object, where: str) -> Question:
    data = fields.mapping(value, f"'{where}'" if where else "the body")
    prefix = f"{where}." if where else ""
    return Question(
        fields.text(fields.member(data, "question", prefix), f"{prefix}question"),
        fields.text(fields.member(data, "context", prefix), f"{prefix}context"),
        prefix,
    )


class QuestionAnswering:
    accepts = (JSON,)

    def __init__(self, spec: ModelSpec, session: Session, folder: Path) -> None:
        settings = spec.settings
        self._limit = spec.limits.items
        self._max_length = int(settings["max_length"])
        self._max_question_length = int(settings.get("max_question_length", self._max_length // 4))
        self._tokenizer = Tokenizer(folder / TOKENIZER_FILE)
        self._model = TextModel(session, settings.get("pad_token_id", 0), settings.get("pad_token_type_id", 0))
        self._outputs = _logits(session)
        self._parameters = {
            "top_k": fields.Parameter(fields.positive, 1),
            "max_answer_len": fields.Parameter(fields.positive, int(settings.get("max_answer_length", 15))),
            "doc_stride": fields.Parameter(fields.positive, int(settings.get("doc_stride", 128))),
            "handle_impossible_answer": fields.Parameter(fields.flag, False),
            "align_to_words": fields.Parameter(fields.flag, True),
        }

    def answer(self, payload: Any) -> Any:
        data = fields.mapping(payload, "the body")
        if "inputs" not in data and {"question", "context"} & set(data):
            questions, many = [read_question(data, "")], False
        else:
            questions, many = fields.one_or_list(fields.member(data, "inputs"), read_question, self._limit)
        answers = self._answers(questions, fields.parameters(data, self._parameters))
        return answers if many else answers[0]

    def _answers(self, questions: Sequence[Question], options: Mapping[str, Any]) -> list[Any]:
        if len(questions) * options["top_k"] > ANSWERS:
            raise TooLarge(
                f"{len(questions)} question(s) with 'parameters.top_k' {options['top_k']} ask for more than {ANSWERS} "
                "answers, the most that one request gets"
            )
        pairs = [self._tokenizer.encode_pair(q.question, q.context) for q in questions]
        cuts = self._cuts(questions, pairs, options["doc_stride"])
        rows = iter(self._model.run([window.tokens for cut in cuts for window in cut], lambda row, _: row))
        found = [(self._spans(next(rows), window, options) for window in cut) for cut in cuts]
        return [_answer(q, p, f, options) for q, p, f in zip(questions, pairs, found, strict=True)]

    def _spans(self, row: Sequence[Array], window: Window, options: Mapping[str, Any]) -> tuple[list[Span], float]:
        start, end = self._outputs
        return best_spans((row[start], row[end]), window, options["top_k"], options["max_answer_len"])

    def _cuts(self, questions: Sequence[Question], pairs: Sequence[Pair], stride: int) -> list[list[Window]]:
        """The windows of each question; none is made when they are too many."""
        for question, pair in zip(questions, pairs, strict=True):
            self._check(question, pair, stride)
        wanted = sum(count_windows(pair, self._max_length, stride) for pair in pairs)
        if wanted > WINDOWS:
            raise TooLarge(
                f"the contexts make {wanted} windows of {self._max_length} tokens, and one request gets at most "
                f"{WINDOWS}; send less text, or a smaller 'parameters.doc_stride'"
            )
        return [list(windows(pair, self._max_length, stride)) for pair in pairs]

    def _check(self, question: Question, pair: Pair, stride: int) -> None:
        where, most = question.where, self._max_question_length
        if pair.first > most:
            raise InvalidValue(f"'{where}question' has {pair.first} tokens; this model takes at most {most}")
        context = pair.second[1] - pair.second[0]
        if not context:
            raise InvalidValue(f"'{where}context' holds no character that the model's tokenizer knows")
        room = self._max_length - (len(pair.tokens) - context)
        if stride >= room:
            raise InvalidValue(
                f"'parameters.doc_stride' is {stride}; beside this question it must be below {room} tokens"
            )


def _logits(session: Session) -> tuple[int, int]:
    names = [t.name for t in session.outputs]
    if len(names) < 2:
        raise ValueError(f"question-answering needs the outputs start_logits and end_logits; the graph has {names}")
    if {"start_logits", "end_logits"} <= set(names):
        return names.index("start_logits"), names.index("end_logits")
    return 0, 1


def _answer(
    question: Question, pair: Pair, found: Iterable[tuple[list[Span], float]], options: Mapping[str, Any]
) -> Any:
    """One question's answer from the spans and the probability of no answer of each of its windows."""
    words, top_k = options["align_to_words"], options["top_k"]
    best: list[tuple[float, int, int]] = []
    least = 1.0
    for spans, none in found:  # window by window, so that never more than two windows' spans are held
        answers = [(s.score, *pair.characters(s.first, s.last, words)) for s in spans]
        best, least = _best([*best, *answers], top_k), min(least, none)
    if options["handle_impossible_answer"]:
        best = _best([*best, (least, 0, 0)], top_k)
    shaped = [{"score": s, "start": a, "end": b, "answer": question.context[a:b]} for s, a, b in best]
    return shaped[0] if top_k == 1 else shaped


def _best(answers: list[tuple[float, int, int]], top_k: int) -> list[tuple[float, int, int]]:
    return sorted(answers, key=lambda a: -a[0])[:top_k]
