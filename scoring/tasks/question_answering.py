"""Extractive question answering: the answer is a span of the context, cut out by its character
offsets.

Request: {"inputs": {"question", "context"} | [...], "parameters": {...}}; {"question", "context"}
alone is read as inputs, and several questions may share one context: {"question": [...], "context":
text or [...]}. Answer: {"score", "start", "end", "answer"}, or with top_k > 1 a list of them, best
first; a list is answered by a list. start and end index the caller's context in code points.

Parameters, those of transformers' question-answering pipeline (4.51) unless it says otherwise:
- top_k (1; also topk), max_answer_len (15 tokens), align_to_words (true: answers are widened to
  whole words);
- max_seq_len (384 tokens, or fewer where the model takes fewer): the length of a window; a context
  that is longer is read through windows that share doc_stride tokens (128, or half a window);
- max_question_len (none): a question of more tokens is refused (the pipeline ignores it with fast
  tokenizers);
- handle_impossible_answer (false): "" with start and end 0 may be the answer; it wins where its
  score is the best;
- null_score_diff_threshold (none; not the pipeline's but that of SQuAD 2.0's evaluation,
  arXiv:1806.03822): with handle_impossible_answer, "" wins where its logits' sum exceeds the best
  span's by more than this, else it is left out;
- score (probability; not the pipeline's): with logit_sum, answers are ranked by start logit + end
  logit, and that is their score, as in DeepSparse.

Settings besides those of every text task, each the default of the parameter in brackets:
`max_seq_len`, `doc_stride`, `max_answer_length` (max_answer_len), `max_question_length`
(max_question_len), `handle_impossible_answer`, `null_score_diff_threshold`. The method is in
scoring/spans.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.scoring import settings, validation
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidValue, TooLarge
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.spans import (
    Null,
    Span,
    Window,
    best_spans,
    count_windows,
    expect_stride,
    windows,
)
from onnxferry.scoring.text_runner import Encoder, expect_sequences
from onnxferry.scoring.tokenization import Encoded
from onnxferry.scoring.validation import Parameter
from onnxferry.scoring.wire import JSON

ANSWERS = 10_000  # of one request, questions x top_k
CONTEXT = 1  # which of the two texts is the context
Found = tuple[float, int, int]  # score, start, end

SETTINGS = {
    **settings.TEXT,
    "max_seq_len": Parameter(validation.positive),
    "doc_stride": Parameter(validation.natural, 128),
    "max_answer_length": Parameter(validation.positive, 15),
    "max_question_length": Parameter(validation.positive),
    "handle_impossible_answer": Parameter(validation.flag, False),
    "null_score_diff_threshold": Parameter(validation.number),
}


@dataclass(frozen=True)
class Question:
    question: str
    context: str
    fields: tuple[str, str]  # where the two stand in the request, for messages


def read_question(value: object, where: str) -> Question:
    data = validation.mapping(value, f"'{where}'" if where else "the body")
    prefix = f"{where}." if where else ""
    return Question(
        validation.text(validation.member(data, "question", prefix), f"{prefix}question"),
        validation.text(validation.member(data, "context", prefix), f"{prefix}context"),
        (f"{prefix}question", f"{prefix}context"),
    )


def read_questions(data: Mapping[str, Any], limit: int) -> tuple[list[Question], bool]:
    """The questions of a request's body, and whether they are to be answered by a list."""
    bare = "inputs" not in data and bool({"question", "context"} & set(data))
    value, where = (data, "") if bare else (validation.member(data, "inputs"), "inputs")
    if isinstance(value, dict) and isinstance(value.get("question"), list):
        return _read_columns(value, f"{where}." if where else "", limit), True
    if isinstance(value, dict):
        return [read_question(value, where)], False
    return validation.one_or_list(value, read_question, limit)


def _read_columns(data: Mapping[str, Any], prefix: str, limit: int) -> list[Question]:
    """{"question": [...], "context": one for all, or [...]}."""
    names = f"{prefix}question", f"{prefix}context"
    questions, _ = validation.one_or_list(data["question"], validation.text, limit, names[0])
    contexts, several = validation.one_or_list(
        validation.member(data, "context", prefix), validation.text, limit, names[1]
    )
    if several and len(contexts) != len(questions):
        raise InvalidValue(
            f"'{names[0]}' has {len(questions)} items and '{names[1]}' {len(contexts)}; expected as"
            " many"
        )
    contexts = contexts if several else contexts * len(questions)
    return [
        Question(q, c, (f"{names[0]}[{i}]", f"{names[1]}[{i}]" if several else names[1]))
        for i, (q, c) in enumerate(zip(questions, contexts, strict=True))
    ]


class QuestionAnswering:
    accepts = (JSON,)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        own = settings.read(spec.settings, SETTINGS)
        self._encoder = Encoder.load(spec, runner, folder, own)
        self._outputs = _logits(runner)
        self._length = own["max_seq_len"] or min(own["max_length"], 384)
        self._stride = own["doc_stride"]
        self._parameters = {
            "top_k": Parameter(validation.positive),
            "topk": Parameter(validation.positive, 1),
            "max_answer_len": Parameter(validation.positive, own["max_answer_length"]),
            "max_seq_len": Parameter(validation.positive),
            "max_question_len": Parameter(validation.positive, own["max_question_length"]),
            "doc_stride": Parameter(validation.natural),
            "handle_impossible_answer": Parameter(validation.flag, own["handle_impossible_answer"]),
            "null_score_diff_threshold": Parameter(
                validation.number, own["null_score_diff_threshold"]
            ),
            "align_to_words": Parameter(validation.flag, True),
            "score": Parameter(validation.one_of("probability", "logit_sum"), "probability"),
        }

    def answer(self, payload: Any) -> Any:
        data = validation.mapping(payload, "the body")
        questions, many = read_questions(data, self._encoder.limits.items)
        answers = self._answers(questions, self._options(data))
        return answers if many else answers[0]

    def _options(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        given = validation.parameters(data, self._parameters)
        length = given["max_seq_len"] and self._encoder.length(given["max_seq_len"], "max_seq_len")
        length = length or self._length
        stride = given["doc_stride"]
        if stride is not None and stride >= length:
            raise InvalidValue(
                f"'parameters.doc_stride' is {stride}; it must be below the {length} tokens of a"
                " window"
            )
        stride = min(self._stride, length // 2) if stride is None else stride
        return {
            **given,
            "top_k": given["top_k"] or given["topk"],
            "max_seq_len": length,
            "doc_stride": stride,
        }

    def _answers(self, questions: Sequence[Question], options: Mapping[str, Any]) -> list[Any]:
        if len(questions) * options["top_k"] > ANSWERS:
            raise TooLarge(
                f"{len(questions)} question(s) with 'parameters.top_k' {options['top_k']} ask for"
                f" more than {ANSWERS} answers, the most that one request gets"
            )
        length, stride = options["max_seq_len"], options["doc_stride"]
        pairs = self._pairs(questions, options)
        cuts = [list(windows(pair, CONTEXT, length, stride)) for pair in pairs]
        rows = iter(
            self._encoder.model.run(
                [window.tokens for cut in cuts for window in cut], lambda row, _: row
            )
        )
        found = [(self._spans(next(rows), window, options) for window in cut) for cut in cuts]
        return [_answer(q, p, f, options) for q, p, f in zip(questions, pairs, found, strict=True)]

    def _spans(
        self, row: Sequence[Array], window: Window, options: Mapping[str, Any]
    ) -> tuple[list[Span], Null]:
        start, end = self._outputs
        return best_spans(
            (row[start], row[end]), window, options["top_k"], options["max_answer_len"]
        )

    def _pairs(self, questions: Sequence[Question], options: Mapping[str, Any]) -> list[Encoded]:
        """Question and context as one sequence, each checked before the next is made: questions
        that share a context can be many times what came."""
        length, stride = options["max_seq_len"], options["doc_stride"]
        pairs: list[Encoded] = []
        wanted = 0
        texts = [(q.question, q.context) for q in questions]
        for question, pair in zip(
            questions, self._encoder.tokenizer.encode_with_offsets(texts), strict=True
        ):
            _check_question(question, pair, options["max_question_len"])
            self._encoder.check(pair, question.fields[1], CONTEXT)
            expect_stride(pair, CONTEXT, length, ("doc_stride", stride))
            wanted += count_windows(pair, CONTEXT, length, stride)
            expect_sequences(
                wanted,
                f"the contexts make at least {wanted} windows of {length} tokens",
                "send less text, or a smaller 'parameters.doc_stride'",
            )
            pairs.append(pair)
        return pairs


def _check_question(question: Question, pair: Encoded, most: int | None) -> None:
    if most is not None and pair.size(0) > most:
        raise InvalidValue(
            f"'{question.fields[0]}' has {pair.size(0)} tokens; this model takes at most {most}"
        )


def _logits(runner: Runner) -> tuple[int, int]:
    names = [t.name for t in runner.outputs]
    if len(names) < 2:
        raise ValueError(
            "question-answering needs the outputs start_logits and end_logits; the graph has"
            f" {names}"
        )
    if {"start_logits", "end_logits"} <= set(names):
        return names.index("start_logits"), names.index("end_logits")
    return 0, 1


def _answer(
    question: Question,
    pair: Encoded,
    found: Iterable[tuple[list[Span], Null]],
    options: Mapping[str, Any],
) -> Any:
    """One question's answer from the spans of each of its windows, and from what each thinks of no
    answer."""
    kind, top_k = ("logits" if options["score"] == "logit_sum" else "probability"), options["top_k"]
    best: list[tuple[float, Span]] = []
    nulls, surest = [], -float("inf")
    # window by window, so that never more than two windows' spans are held
    for spans, null in found:
        best = _best([*best, *((getattr(span, kind), span) for span in spans)], top_k)
        nulls.append(null)
        surest = max(surest, spans[0].logits)
    answers: list[Found] = [
        (score, *_characters(pair, span, options["align_to_words"])) for score, span in best
    ]
    if options["handle_impossible_answer"]:
        answers = _with_null(answers, nulls, surest, options)
    shaped = [
        {"score": s, "start": a, "end": b, "answer": question.context[a:b]}
        for s, a, b in answers[:top_k]
    ]
    return shaped[0] if top_k == 1 else shaped


def _with_null(
    answers: list[Found], nulls: Sequence[Null], surest: float, options: Mapping[str, Any]
) -> list[Found]:
    """The answers with "" among them, which is as likely as in the window where it is the least
    likely."""
    logits = min(null.logits for null in nulls)
    null = (
        logits if options["score"] == "logit_sum" else min(null.probability for null in nulls),
        0,
        0,
    )
    if options["null_score_diff_threshold"] is None:
        return _best([*answers, null], len(answers) + 1)
    return [null, *answers] if logits - surest > options["null_score_diff_threshold"] else answers


def _best(answers: list[Any], top_k: int) -> list[Any]:
    return sorted(answers, key=lambda a: -a[0])[:top_k]


def _characters(pair: Encoded, span: Span, to_words: bool) -> tuple[int, int]:
    """The [start, end) characters of a span, widened to whole words if wanted and if the tokenizer
    knows words."""
    edges = [
        pair.word(token, span.within) if to_words else None for token in (span.first, span.last)
    ]
    if edges[0] is None or edges[1] is None:
        return pair.characters(span.first)[0], pair.characters(span.last)[1]
    return edges[0][0], edges[1][1]
