"""An MLflow model from code (a pyfunc): load_context() once a process, predict() for a DataFrame,
of which each row is an item.

The signature says nothing of the kinds of the columns: MLflow would refuse all rows for one before
the model is asked, and make texts of nulls.

What MLflow forces: its server's wire is its own, a request's id and headers do not reach the model,
and params that the signature does not list are passed over. Its server sends the rows back before
the message of any MlflowException, and a stack trace with any other exception. So a Refused keeps
the core's message, status and body. What MLflow or its server refuses by itself, rows, params or a
body that it cannot read, is told in such words too.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import pandas
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PyFuncModel, PythonModel

from onnxferry.scoring import JSON, Scorer, ScoringError, load, log_requests
from onnxferry.scoring.errors import (
    InternalError,
    InvalidBody,
    InvalidType,
    InvalidValue,
    MissingField,
    UnsupportedMediaType,
)
from onnxferry.scoring.limits import exceeded
from onnxferry.scoring.rows import ERROR, Column, Columns, RowScorer, columns
from onnxferry.scoring.validation import kind

SERVER = "mlflow.pyfunc.scoring_server"
AZURE = "azureml_inference_server_http"  # the server of a model without code: it writes no arrays
FORM = '{"dataframe_split": {"columns": [...], "data": [[...]]}, "params": {...}}'
_log = logging.getLogger("scoring")


class Refused(MlflowException):
    """A ScoringError as MLflow raises and serves it."""

    def __init__(self, error: ScoringError) -> None:
        self.error = type(error)(_named(str(error)))
        code = INTERNAL_ERROR if error.status >= 500 else INVALID_PARAMETER_VALUE
        super().__init__(str(self.error), code)

    @property
    def message(self) -> str:
        """The core's; the server would put the rows before it."""
        return str(self.error)

    @message.setter
    def message(self, text: str) -> None:
        pass

    def serialize_as_json(self) -> str:
        """The body of the server's answer."""
        return json.dumps({"error": {"code": self.error.code, "message": str(self.error)}})

    def get_http_status_code(self) -> int:
        """The status of the server's answer."""
        return self.error.status


class Model(PythonModel):
    """The model directory that is the artifact `model`."""

    def load_context(self, context: Any) -> None:
        """Load the model. From now on MLflow predicts by `onnxferry_predict`. In a process of its
        server, log each request, and refuse in its place."""
        if server := sys.modules.get(SERVER):
            log_requests()
        self._scorer = load(context.artifacts["model"])
        self._inputs = columns(self._scorer.spec).inputs
        _predict_by_the_model()
        if server:
            _guard(server, self._scorer)

    def predict(
        self, context: Any, model_input: pandas.DataFrame, params: dict[str, Any] | None = None
    ) -> pandas.DataFrame:
        """The answers' columns, with the rows and the index of `model_input`. With the param
        `errors` = "column" a refused row has its error in one more column, `error`. Raises
        Refused."""
        # an empty list is the signature's default of one
        given = {name: value for name, value in (params or {}).items() if value != []}
        errors = given.pop("errors", None)
        try:
            answers = _answers(RowScorer(self._scorer, given), model_input, errors)
        except ScoringError as e:
            raise Refused(e) from None
        answered = {name: _column(cells) for name, cells in answers.items()}
        return pandas.DataFrame(answered).set_axis(model_input.index)

    def onnxferry_predict(
        self, predict: Callable[..., Any], model: Any, data: Any, params: Any
    ) -> Any:
        """What `predict`, MLflow's own, answers for its `model`, which is this one. What it refuses
        before it asks this one is Refused too, since MLflow's words repeat rows and params."""
        try:
            _check_twice(data, self._inputs)
            return predict(model, _rows(data, self._inputs), params)
        except ScoringError as e:
            raise Refused(e) from None
        except MlflowException as e:
            if isinstance(e, Refused):
                raise
            raise Refused(_unfit(e, model, params)) from None


def _predict_by_the_model() -> None:
    """Let MLflow predict by a model's `onnxferry_predict`, if it has one. Once a process."""
    pyfunc: Any = PyFuncModel
    whole = pyfunc.predict
    if hasattr(whole, "onnxferry"):
        return

    @functools.wraps(whole)
    def predict(self: Any, data: Any, params: dict[str, Any] | None = None) -> Any:
        model = getattr(self._model_impl, "python_model", None)
        own = getattr(model, "onnxferry_predict", None)
        return own(whole, self, data, params) if own else whole(self, data, params)

    vars(predict)["onnxferry"] = True
    pyfunc.predict = predict


def _unfit(error: MlflowException, model: Any, params: Any) -> ScoringError:
    """What MLflow refuses, rows or params, without what it repeats of them."""
    if not isinstance(params, dict | None):
        return InvalidType(f"'params' must be an object, got {kind(params)}")
    wrong = error.message if error.message.startswith("Invalid parameters found: ") else ""
    for param in model.metadata.get_params_schema() if wrong else ():
        if f"('{param.name}'," in wrong:
            expected = f"a list of {param.dtype.name}" if param.shape else param.dtype.name
            return InvalidType(f"'params.{param.name}' must be of the kind {expected}")
    names = ", ".join(model.metadata.get_input_schema().input_names())
    return InvalidBody(f"no table of rows can be made of this: give column(s) {names}, each once")


def _answers(rows: RowScorer, frame: Any, errors: Any) -> dict[str, list[Any]]:
    if errors not in ("raise", "column", None):
        raise InvalidValue("'params.errors' must be one of raise, column")
    if not isinstance(frame, pandas.DataFrame):
        raise InvalidType(f"expected a pandas DataFrame, got {type(frame).__name__}")
    table = {str(name): _cells(column) for name, column in frame.items()}
    _check_names(rows.columns, table)
    answers = rows.score(table, keep_errors=errors == "column")
    if ERROR in answers:
        answers[ERROR] = [text and _named(text) for text in answers[ERROR]]
    return answers


def _check_names(known: Columns, table: Iterable[str]) -> None:
    try:
        known.items(dict.fromkeys(table, ()))
    except MissingField as e:
        left_out = "MLflow leaves out columns that the signature does not list"
        raise MissingField(f"{e} ({left_out})") from None


def _named(text: str) -> str:
    """A message with MLflow's name for parameters."""
    return text.replace("'parameters.", "'params.")


def _check_twice(data: Any, inputs: Iterable[Column]) -> None:
    """Refuse a column that is there twice, of which MLflow 2 makes rows of its own."""
    names = {name for column in inputs for name in (column.name, *column.aliases)}
    found = data.columns if isinstance(data, pandas.DataFrame) else pandas.Index([])
    if twice := sorted(names.intersection(found[found.duplicated()])):
        raise InvalidBody(f"column {twice[0]!r} is there twice")


def _rows(data: Any, inputs: Iterable[Column]) -> Any:
    """A dict of lists as a frame, unless a cell may be a list: MLflow would make one row of it."""
    lists = isinstance(data, dict) and all(isinstance(cells, list) for cells in data.values())
    if not lists or any(isinstance(column.kind, list) for column in inputs):
        return data
    if len(set(map(len, data.values()))) > 1:
        raise InvalidValue("the columns are lists of different lengths")
    return pandas.DataFrame(data)


def _cells(column: pandas.Series) -> list[Any]:
    """Python's own values, and None for each of pandas' signs that there is none."""
    values = column.astype(object)
    return list(values.where(values.notna(), None))


def _column(cells: list[Any]) -> pandas.Series:
    """A list stays a list, and None stays None."""
    if AZURE in sys.modules:
        cells = [cell.tolist() if hasattr(cell, "tolist") else cell for cell in cells]
    column = pandas.Series(cells, dtype=object)
    return column if any(cell is None for cell in cells) else column.infer_objects()


class _Texts:
    """A signature's schema by which MLflow's server reads the columns of CSV as texts."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema

    def __getattr__(self, name: str) -> Any:
        return getattr(self._schema, name)

    def pandas_types(self) -> list[type]:
        """Those of all columns."""
        return [object for _ in self._schema.input_names()]


def _guard(server: Any, scorer: Scorer) -> None:
    whole = getattr(server.invocations, "__wrapped__", server.invocations)
    limit = scorer.spec.limits.body_bytes

    def answered(data: bytes, content_type: str, model: Any, schema: Any) -> Any:
        try:
            if len(data) > limit:
                raise exceeded(f"the body has {len(data)} bytes", limit, "body_bytes")
            answer = whole(data, content_type, model, _Texts(schema))
        except ScoringError:
            raise
        except Refused as e:
            raise e.error from None
        except Exception as e:
            raise _said(e, model) from None
        if answer.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            types = " or ".join(server.CONTENT_TYPES)
            sent = f"content type '{content_type[:80]}' is not accepted"
            raise UnsupportedMediaType(f"{sent}; send {types} in UTF-8")
        return answer

    @functools.wraps(whole)
    def invocations(data: bytes, content_type: str | None, model: Any, schema: Any) -> Any:
        try:
            with scorer.logged():
                return answered(data, content_type or JSON, model, schema)
        except ScoringError as e:
            raise Refused(e) from None

    server.invocations = invocations


def _said(error: Exception, model: Any) -> ScoringError:
    """What an error of the server's own says, without what it repeats."""
    text = error.message if isinstance(error, MlflowException) else ""
    unread = text or isinstance(error, UnicodeError | RecursionError)
    if not unread or text.startswith("Encountered an unexpected error"):
        _log.error("unexpected failure while scoring", exc_info=error)
        return InternalError("the model could not score this; the log has the cause")
    names = ", ".join(model.metadata.get_input_schema().input_names())
    return InvalidBody(f"the body holds no table of rows: send {FORM} with column(s) {names}")


set_model(Model())
