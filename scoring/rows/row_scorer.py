"""Many rows in one run, so that a bad row costs no other its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from onnxferry.scoring import codecs
from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.rows.task_columns import columns
from onnxferry.scoring.scorer import Scorer

ERROR = "error"  # the column that says why a row has no answer
_FIELD = re.compile(r"'inputs\[\d+\](?:\.(\w+))?")


class RowScorer:
    """`scorer` for rows that all have the same `parameters` of a request; those that are None are
    not sent. `columns` says what is read and written."""

    def __init__(self, scorer: Scorer, parameters: Mapping[str, Any] | None = None) -> None:
        self._scorer = scorer
        given = (parameters or {}).items()
        self._parameters = {name: value for name, value in given if value is not None}
        self.columns = columns(scorer.spec, self._parameters)
        self._parameters_fit = False

    def score(
        self, table: Mapping[str, Sequence[Any]], *, keep_errors: bool = False
    ) -> dict[str, list[Any]]:
        """The lists of `columns.outputs` for the rows of `table`, which holds a list for each
        column, in any order. Where a row is refused its ScoringError is raised, with its number;
        with `keep_errors` its cells are None, and one more column, ERROR, says "code: message",
        None for all others. Raises ScoringError for wrong columns or parameters."""
        answers = self.answers(self.columns.items(table))
        errors = {i: answer for i, answer in enumerate(answers) if isinstance(answer, ScoringError)}
        if errors and not keep_errors:
            row, error = next(iter(errors.items()))
            raise type(error)(f"row {row}: {error}")
        scored = self.columns.table([None if i in errors else a for i, a in enumerate(answers)])
        if keep_errors:
            scored[ERROR] = [None] * len(answers)
            for row, error in errors.items():
                scored[ERROR][row] = f"{error.code}: {error}"
        return scored

    def answers(self, items: Sequence[Any]) -> list[Any]:
        """The answer to each item, or the ScoringError that refuses it, in their order. Raises
        ScoringError for parameters with which even the model's golden request is refused."""
        size = 1 if self.columns.alone else self._scorer.spec.limits.items
        found: list[Any] = []
        for first in range(0, len(items), size):
            found += self._answered(items[first : first + size])
        return found

    def _answered(self, items: Sequence[Any]) -> list[Any]:
        """What is refused together is halved, until it stands alone."""
        try:
            payload = self.columns.payload(items, self._parameters)
            return self.columns.answers(self._scorer.answer(payload))
        except ScoringError as e:
            if len(items) == 1:
                self._check_parameters()
                return [type(e)(_FIELD.sub(self._field, str(e)))]
        half = len(items) // 2
        return [*self._answered(items[:half]), *self._answered(items[half:])]

    def _field(self, found: re.Match[str]) -> str:
        """The column's name for its place among the items."""
        return f"'{found[1] or self.columns.inputs[0].name}"

    def _check_parameters(self) -> None:
        """Raise ScoringError where it is not the row that is refused. The golden request is asked
        once, however many rows are refused."""
        if self._parameters_fit or (golden := self._scorer.spec.golden) is None:
            return
        request = golden.request
        payload = codecs.decode(request.body, request.content_type, (request.content_type,))
        if isinstance(payload, codecs.Image):
            payload = {"inputs": payload}
        if isinstance(payload, dict):
            self._scorer.answer({**payload, "parameters": self._parameters})
        self._parameters_fit = True
