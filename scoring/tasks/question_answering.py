"""Extractive question answering: the answer is a span of the context.

Request: {"inputs": {"question", "context"} | [...], "parameters": {...}}, or {"question",
"context"} alone, each of which may be a list. Answer: {"score", "start", "end", "answer"}, with
top_k > 1 a list of them, best first; a list for a list. start and end count code points.

Parameters and defaults; all but the last two are those of transformers' pipeline (4.57,
the last to have one), and so are answers: those of one text, in capitals or not, are one answer
with the sum of their scores.

top_k, topk (1)
max_answer_len (15)         in tokens
align_to_words (true)       widens answers to whole words
max_seq_len (384)           tokens of a window; a longer context is read in windows
doc_stride (128)            tokens that two windows share; by default at most half a window, and
                            less beside a long question
max_question_len (none)     a question of more tokens is refused
handle_impossible_answer (false)  "" with start and end 0 wins where its score is the best
null_score_diff_threshold (none)  "" wins where its logits' sum exceeds the best span's by more,
                            else it is left out: SQuAD 2.0's evaluation, arXiv:1806.03822
score (probability)         logit_sum: start logit + end logit, as in DeepSparse

SETTINGS besides those of every text task are defaults of parameters. See scoring/spans.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.scoring import settings, validation
from onnxferry.scoring.codecs import JSON
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.limits import check_answers, check_sequences
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.spans import NoAnswer, Span, best_spans
from onnxferry.scoring.text_runner import TextRunner
from onnxferry.scoring.tokenization import Encoded
from onnxferry.scoring.validation import Parameter
from onnxferry.scoring.windows import (
    Window,
    capacity,
    check_stride,
    count_windows,
    default_stride,
    windows,
)

CONTEXT = 1  # the side of the context: the second of two texts
Answer = tuple[float, int, int]  # score, and the context's characters [start, end)
Options = Mapping[str, Any]
Rows = Iterable[tuple[Window, Sequence[Array]]]  # each window's row of every output

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
    """`fields`: the names of both in the request."""

    question: str
    context: str
    fields: tuple[str, str]


def read_question(value: object, where: str) -> Question:
    """{"question", "context"} in the field `where`, "" for the body."""
    data = validation.mapping(value, f"'{where}'" if where else "the body")
    prefix = f"{where}." if where else ""
    fields = f"{prefix}question", f"{prefix}context"
    question = validation.text(validation.member(data, "question", prefix), fields[0])
    context = validation.text(validation.member(data, "context", prefix), fields[1])
    return Question(question, context, fields)


def read_questions(data: Mapping[str, Any], limit: int) -> tuple[list[Question], bool]:
    """The questions of a request's body, and whether a list answers them."""
    bare = "inputs" not in data and bool({"question", "context"} & set(data))
    value, where = (data, "") if bare else (validation.member(data, "inputs"), "inputs")
    if isinstance(value, dict) and isinstance(value.get("question"), list):
        return _read_columns(value, f"{where}." if where else "", limit), True
    return validation.one_or_list(value, read_question, limit, where)


def _read_columns(data: Mapping[str, Any], prefix: str, limit: int) -> list[Question]:
    """{"question": [...], "context": one for all, or [...]}."""
    names = f"{prefix}question", f"{prefix}context"
    questions, _ = validation.one_or_list(data["question"], validation.text, limit, names[0])
    sent = validation.member(data, "context", prefix)
    contexts, several = validation.uncounted(sent, validation.text, limit, names[1])
    contexts = contexts if several else contexts * len(questions)
    if (count := len(contexts)) != len(questions):
        raise InvalidValue(f"'{names[0]}' has {len(questions)} items and '{names[1]}' {count}")
    return [
        Question(q, c, (f"{names[0]}[{i}]", f"{names[1]}[{i}]" if several else names[1]))
        for i, (q, c) in enumerate(zip(questions, contexts, strict=True))
    ]


class QuestionAnswering:
    """A Task; see the module."""

    accepts = (JSON,)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        values = settings.read(spec.settings, SETTINGS)
        self._text = TextRunner.load(spec, runner, folder, values)
        self._outputs = _logits(runner)
        self._length = min(values["max_seq_len"] or 384, self._text.max_length)
        self._stride = values["doc_stride"]
        same = "handle_impossible_answer", "null_score_diff_threshold"
        self._parameters = {
            "top_k": Parameter(validation.positive),
            "topk": Parameter(validation.positive, 1),
            "max_answer_len": Parameter(validation.positive, values["max_answer_length"]),
            "max_seq_len": Parameter(validation.positive),
            "max_question_len": Parameter(validation.positive, values["max_question_length"]),
            "doc_stride": Parameter(validation.natural),
            **{name: Parameter(SETTINGS[name].read, values[name]) for name in same},
            "align_to_words": Parameter(validation.flag, True),
            "score": Parameter(validation.one_of("probability", "logit_sum"), "probability"),
        }

    def answer(self, payload: Any) -> Any:
        """See the module."""
        data = validation.mapping(payload, "the body")
        questions, many = read_questions(data, self._text.limits.items)
        answers = self._answers(questions, self._options(data))
        return answers if many else answers[0]

    def _options(self, data: Mapping[str, Any]) -> Options:
        sent = validation.parameters(data, self._parameters)
        length, stride = sent["max_seq_len"], sent["doc_stride"]
        length = self._text.length(length, "max_seq_len") if length else self._length
        if stride is not None and stride >= length:
            what = f"'parameters.doc_stride' is {stride}"
            raise InvalidValue(f"{what}; it must be below the {length} tokens of a window")
        return {**sent, "top_k": sent["top_k"] or sent["topk"], "max_seq_len": length}

    def _answers(self, questions: Sequence[Question], options: Options) -> list[Any]:
        check_answers(len(questions), "question(s)", options["top_k"])
        length, pairs = options["max_seq_len"], self._pairs(questions, options)
        cuts = [list(windows(p, CONTEXT, length, self._stride_of(p, options))) for p in pairs]
        sequences = [window.tokens for cut in cuts for window in cut]
        rows = iter(self._text.batcher.run(sequences, lambda row, _: row))
        found = [((window, next(rows)) for window in cut) for cut in cuts]
        asked = zip(questions, pairs, found, strict=True)
        return [self._answer(q.context, pair, row, options) for q, pair, row in asked]

    def _answer(self, context: str, pair: Encoded, rows: Rows, options: Options) -> Any:
        by_logits, top_k = options["score"] == "logit_sum", options["top_k"]
        start, end = self._outputs
        to_words = options["align_to_words"]
        # words that begin or end with the same are one answer: some are to be left over
        count = 2 * top_k + 10 if to_words and not by_logits else top_k
        answers: list[Answer] = []
        nulls, best_logits = [], -float("inf")
        for window, row in rows:  # one by one, to keep few spans in memory
            logits = row[start], row[end]
            spans, null = best_spans(logits, window, count, options["max_answer_len"])
            scored = [(span.logits if by_logits else span.probability, span) for span in spans]
            found = [(score, *_characters(pair, span, to_words)) for score, span in scored]
            answers = _best([*answers, *found], top_k) if by_logits else [*answers, *found]
            nulls.append(null)
            best_logits = max(best_logits, spans[0].logits)
        if not by_logits:
            answers = _best(_merged(answers, context), top_k)
        if options["handle_impossible_answer"]:
            answers = _with_no_answer(answers, nulls, best_logits, options)
        shaped = [
            {"score": s, "start": a, "end": b, "answer": context[a:b]}
            for s, a, b in answers[:top_k]
        ]
        return shaped[0] if top_k == 1 else shaped

    def _pairs(self, questions: Sequence[Question], options: Options) -> list[Encoded]:
        """Question and context as one sequence, each checked before the next is made."""
        length, limit = options["max_seq_len"], options["max_question_len"]
        pairs, count = [], 0
        texts = [(q.question, q.context) for q in questions]
        encoded = self._text.tokenizer.encode_with_offsets(texts)
        for question, pair in zip(questions, encoded, strict=True):
            if limit is not None and (size := pair.size(0)) > limit:
                raise InvalidValue(f"'{question.fields[0]}' has {size} tokens; at most {limit} fit")
            self._text.check(pair, question.fields[1], CONTEXT)
            if capacity(pair, CONTEXT, length) < 1:
                fits = f"a window of {length} tokens has no room for the context beside it"
                raise InvalidValue(f"'{question.fields[0]}' has {pair.size(0)} tokens; {fits}")
            stride = self._stride_of(pair, options)
            check_stride(pair, CONTEXT, length, ("doc_stride", stride))
            count += count_windows(pair, CONTEXT, length, stride)
            what = f"the contexts make at least {count} windows of {length} tokens"
            check_sequences(count, what, "send less text, or a smaller 'parameters.doc_stride'")
            pairs.append(pair)
        return pairs

    def _stride_of(self, pair: Encoded, options: Options) -> int:
        """What was sent, which may not fit, or the default, which fits."""
        if (sent := options["doc_stride"]) is not None:
            return int(sent)
        length = options["max_seq_len"]
        return default_stride(pair, CONTEXT, length, min(self._stride, length // 2))


def _logits(runner: Runner) -> tuple[int, int]:
    """The indices of the outputs that hold the logits of start and end."""
    names = [t.name for t in runner.outputs]
    if len(names) < 2:
        needed = "question-answering needs the outputs start_logits and end_logits"
        raise ValueError(f"{needed}; the graph has {names}")
    if {"start_logits", "end_logits"} <= set(names):
        return names.index("start_logits"), names.index("end_logits")
    return 0, 1


def _with_no_answer(
    answers: list[Answer], nulls: Sequence[NoAnswer], best_logits: float, options: Options
) -> list[Answer]:
    """The answers and "", which has the score of the window where it is the least likely."""
    logits, threshold = min(n.logits for n in nulls), options["null_score_diff_threshold"]
    probability = min(n.probability for n in nulls)
    null = (logits if options["score"] == "logit_sum" else probability, 0, 0)
    if threshold is None:
        return _best([*answers, null], len(answers) + 1)
    return [null, *answers] if logits - best_logits > threshold else answers


def _best(scored: list[Any], top_k: int) -> list[Any]:
    return sorted(scored, key=lambda entry: -entry[0])[:top_k]


def _merged(answers: Sequence[Answer], context: str) -> list[Answer]:
    """Answers of one text, in capitals or not, are one, with the sum of their scores."""
    found: dict[str, Answer] = {}
    for score, start, end in answers:
        text = context[start:end].lower()
        known, *where = found.get(text, (0.0, start, end))
        found[text] = (known + score, where[0], where[1])
    return list(found.values())


def _characters(pair: Encoded, span: Span, to_words: bool) -> tuple[int, int]:
    """[start, end) of a span, widened to whole words if the tokenizer knows them."""
    first = pair.word(span.first, span.within) if to_words else None
    last = pair.word(span.last, span.within) if to_words else None
    if first is None or last is None:
        return pair.characters(span.first)[0], pair.characters(span.last)[1]
    return first[0], last[1]
