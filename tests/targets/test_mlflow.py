"""The MLflow adapter as MLflow loads it and as MLflow's own server serves it."""

from __future__ import annotations

import base64
import json
import math
import traceback
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas
import pyarrow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from packaging.version import Version

from onnxferry.scoring import Request, load
from onnxferry.scoring.codecs import encode_json
from onnxferry.scoring.limits import Limits
from onnxferry.scoring.rows import ERROR, RowScorer
from onnxferry.scripts.golden_check import Reply
from onnxferry.scripts.package import Package, package
from tests import tiny
from tests.mlflow_app import MLflowApp, serving
from tests.packages import quiet
from tests.scoring.test_custom_task import own
from tests.scoring.test_rows import CASES, table
from tests.targets.served import HERE, prepared_tensors

MLFLOW_3 = Version(mlflow.__version__).major >= 3  # 2 reads no Parquet
SECRET = "xyzzy"  # noqa: S105
GOOD = {"question": "who sings", "context": "dolly parton sings"}


def built(model: Path, out: Path) -> Package:
    return package(model, "mlflow", out=out, python=HERE, report=quiet)


def plain(frame: pandas.DataFrame) -> dict[str, Any]:
    """A frame's columns as JSON data."""
    data: dict[str, Any] = json.loads(encode_json(frame.to_dict("list")))
    return data


@pytest.mark.parametrize("task", CASES)
def test_a_frame_is_answered_as_rows_are_and_spark_makes_structs_of_it(
    task: str, tmp_path: Path
) -> None:
    make, items, params = CASES[task]
    folder = make(tmp_path / "model")
    model = mlflow.pyfunc.load_model(str(built(folder, tmp_path).path))
    frame = pandas.DataFrame(table(items))

    expected = RowScorer(load(folder), params).score(table(items))
    assert plain(model.predict(frame, params)) == json.loads(encode_json(expected))

    # what spark_udf does with a batch, by the signature alone
    required = {name: value for name, value in params.items() if name == "candidate_labels"}
    answers = model.predict(frame, required)
    kind = mlflow.pyfunc._infer_spark_udf_return_type(model.metadata.get_output_schema())
    made = mlflow.pyfunc._convert_struct_values(answers, kind)
    assert sorted(made.columns) == sorted(kind.fieldNames()) == sorted(answers.columns)
    assert len(made) == len(items)


@pytest.fixture(scope="module")
def qa(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("qa")
    limits = Limits(body_bytes=20_000)
    return built(tiny.question_answering(folder / "model", limits=limits), folder)


@pytest.fixture(scope="module")
def model(qa: Package) -> Any:
    return mlflow.pyfunc.load_model(str(qa.path))


@pytest.fixture(scope="module")
def app(qa: Package) -> Iterator[MLflowApp]:
    with serving(qa) as app:
        yield app


def test_the_tutorials_frame_is_taken_and_its_index_kept(model: Any) -> None:
    frame = pandas.DataFrame([GOOD, GOOD], index=["b", "a"])
    by_context = model.predict(frame)
    by_text = model.predict(frame.rename(columns={"context": "text"}).assign(id=[1, 2]))
    # by any signature but of MLflow's own kinds, MLflow 2 numbers the rows anew
    assert list(by_text.index) == (["b", "a"] if MLFLOW_3 else [0, 1])
    pandas.testing.assert_frame_equal(by_context, by_text)
    assert by_text.dtypes["score"] == np.float64


@pytest.mark.parametrize(
    "column",
    [
        pandas.Series(["dolly parton sings", None], dtype=object),
        pandas.Series(["dolly parton sings", math.nan], dtype=object),
        pandas.Series(["dolly parton sings", pandas.NA], dtype="string"),
        pandas.Series(["dolly parton sings", None]),
        pandas.Series(["dolly parton sings", None], dtype=pandas.ArrowDtype(pyarrow.string())),
        pandas.Series(["dolly parton sings", None], dtype="category"),
    ],
    ids=["None", "NaN", "NA", "as pandas likes", "Arrow", "category"],
)
def test_a_bad_row_costs_no_other_its_answer(model: Any, column: pandas.Series) -> None:
    frame = pandas.DataFrame({"question": "who sings", "context": column})
    given = model.predict(frame, {"errors": "column"}).to_dict("records")
    assert [row["answer"] for row in given] == ["dolly parton", None]
    assert [row["start"] for row in given] == [0, None]
    assert given[0][ERROR] is None
    assert given[1][ERROR].startswith("missing_field: 'context' is missing")


def test_a_column_of_another_kind_is_refused_row_by_row(model: Any) -> None:
    frame = pandas.DataFrame({"question": [1, 2], "context": "dolly"})
    given = model.predict(frame, {"errors": "column"})
    assert given[ERROR][1] == "invalid_type: 'question' must be a string, got an integer"


def test_a_dict_of_lists_is_as_many_rows(model: Any) -> None:
    given = model.predict({"question": ["who sings", "who"], "context": ["dolly parton sings"] * 2})
    assert list(given["answer"]) == ["dolly parton"] * 2
    with pytest.raises(MlflowException, match="lists of different lengths"):
        model.predict({"question": ["who sings", "who"], "context": ["dolly"]})


@pytest.mark.parametrize("rows", [1, 2])
def test_a_list_in_a_cell_is_one_cell_also_of_a_lone_row(model: Any, rows: int) -> None:
    frame = pandas.DataFrame({"question": [["who", "is"]] * rows, "context": [["a", "b"]] * rows})
    given = model.predict(frame, {"errors": "column"})
    said = "invalid_type: 'question' must be a string, got a list"
    assert list(given[ERROR]) == [said] * rows


def test_a_frame_of_other_columns_is_told_that_mlflow_leaves_them_out(model: Any) -> None:
    with pytest.raises(MlflowException, match=r"no column 'question'.*MLflow leaves out columns"):
        model.predict(pandas.DataFrame({"query": ["who sings"], "body": ["dolly"]}))


TWICE = pandas.DataFrame([[SECRET, SECRET, "who"]], columns=["text", "text", "question"])
COLUMNS = "give column(s) question, context, text, each once"


@pytest.mark.parametrize(
    ("data", "params", "said"),
    [
        (TWICE, None, "column 'text' is there twice"),
        (np.full((2, 2, 2), SECRET), None, COLUMNS),
        ([[[SECRET]]] * 2, {"top_k": SECRET}, None),
        (pandas.DataFrame([GOOD]), {"top_k": SECRET}, "'params.top_k' must be of the kind long"),
        (pandas.DataFrame([GOOD]), SECRET, "'params' must be an object, got a string"),
        (pandas.DataFrame([GOOD]), {"errors": [SECRET]}, "'params.errors' must be of the kind st"),
    ],
    ids=["a column twice", "three dimensions", "lists", "a param's kind", "params", "a param list"],
)
def test_what_mlflow_refuses_itself_repeats_nothing(
    model: Any, data: Any, params: Any, said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(MlflowException) as e:
        model.predict(data, params)
    assert (said or "") in str(e.value)
    assert e.value.get_http_status_code() == 400
    assert SECRET not in "".join(traceback.format_exception(e.value)) + caplog.text


def test_a_param_out_of_range_is_named_as_mlflow_names_it(model: Any) -> None:
    with pytest.raises(MlflowException, match=r"'params\.top_k'"):
        model.predict(pandas.DataFrame([GOOD]), {"top_k": -1})


class Foreign:
    """Somebody else's model in the same process."""

    def predict(self, data: Any) -> Any:
        return data


def test_other_models_keep_mlflows_own_words(model: Any) -> None:
    signature = ModelSignature(inputs=Schema([ColSpec("string", "text")]))
    other = mlflow.pyfunc.PyFuncModel(mlflow.models.Model(signature=signature), Foreign())
    with pytest.raises(MlflowException, match="Failed to enforce schema of data"):
        other.predict(TWICE)
    assert other.predict({"text": ["a"]}).shape == (1, 1)


def test_mlflows_predict_is_wrapped_once(qa: Package, model: Any) -> None:
    before = mlflow.pyfunc.PyFuncModel.predict
    mlflow.pyfunc.load_model(str(qa.path))
    assert mlflow.pyfunc.PyFuncModel.predict is before
    assert not hasattr(before.__wrapped__, "__wrapped__")


def test_a_bad_row_is_refused_with_the_cores_code_and_status(model: Any) -> None:
    frame = pandas.DataFrame([GOOD, {**GOOD, "context": " "}])
    with pytest.raises(MlflowException, match=r"^row 1: 'context' is empty; expected text$") as e:
        model.predict(frame)
    assert e.value.error_code == "INVALID_PARAMETER_VALUE"
    assert e.value.get_http_status_code() == 400
    assert json.loads(e.value.serialize_as_json())["error"]["code"] == "invalid_value"
    assert e.value.__suppress_context__


def test_an_unknown_way_with_errors_is_refused(model: Any) -> None:
    with pytest.raises(MlflowException, match=r"'params\.errors' must be one of raise, column"):
        model.predict(pandas.DataFrame([GOOD]), {"errors": "ignore"})


def test_no_rows_are_no_error(model: Any) -> None:
    given = model.predict(pandas.DataFrame({"question": [], "context": []}, dtype=object))
    assert (len(given), list(given.columns)) == (0, ["answer", "score", "start", "end"])


def test_rows_share_runs_of_the_model(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, asked = model.unwrap_python_model()._scorer, []
    whole = scorer.answer

    def answer(payload: Any) -> Any:
        asked.append(len(payload["inputs"]))
        return whole(payload)

    monkeypatch.setattr(scorer, "answer", answer)
    model.predict(pandas.DataFrame([GOOD] * 200))
    assert asked == [200]


RED, BLUE = CASES["image-classification"][1]


@pytest.mark.parametrize("form", [bytes, bytearray, lambda p: base64.b64encode(p).decode()])
def test_pictures_are_bytes_or_base64(form: Callable[[bytes], Any], tmp_path: Path) -> None:
    package = built(tiny.image_classification(tmp_path / "model"), tmp_path)
    model = mlflow.pyfunc.load_model(str(package.path))
    frame = pandas.DataFrame({"image": [form(RED), 7, form(BLUE), form(b"no picture")]})
    given = model.predict(frame, {"errors": "column", "top_k": 1})
    assert [label is None for label in given["label"]] == [False, True, False, True]
    assert given[ERROR][1].startswith("invalid_type: ")
    assert given[ERROR][3].startswith("invalid_image: ")


def test_arrays_are_cells(tmp_path: Path) -> None:
    path = str(built(prepared_tensors(tmp_path / "model"), tmp_path).path)
    model = mlflow.pyfunc.load_model(path)
    frame = pandas.DataFrame({"x": [np.array([1.0, 2.0]), [3.0, 0.0]], "k": [[1], np.array([0])]})
    given = model.predict(frame)
    assert plain(given)["square"] == [[4, 9], [9, 0]]
    assert list(model.predict(frame, {"outputs": ["positive"]}).columns) == ["positive"]


def test_a_task_of_ones_own_takes_and_gives_json(tmp_path: Path) -> None:
    model = mlflow.pyfunc.load_model(str(built(own(tmp_path / "model"), tmp_path).path))
    requests = ['{"inputs": [1, 2]}', "no JSON", '{"inputs": [[3]]}']
    given = model.predict(pandas.DataFrame({"request": requests}), {"errors": "column"})
    answers = [answer and json.loads(answer) for answer in given["answer"]]
    assert answers == [{"doubled": [2, 4]}, None, {"doubled": [[6]]}]
    assert given[ERROR][1].startswith("invalid_body: ")


def body(*rows: list[Any], columns: tuple[str, ...] = ("question", "text"), **more: Any) -> bytes:
    return json.dumps({"dataframe_split": {"columns": columns, "data": rows}, **more}).encode()


PARQUET = BytesIO()
pandas.DataFrame({"question": [12345678], "text": [SECRET]}).to_parquet(PARQUET)
ROW = ["who sings", "dolly parton sings"]
BAD = [SECRET, "dolly parton sings"]
NO_FORM, NO_TYPE = (400, "invalid_body"), (415, "unsupported_media_type")
PARQUET_TYPE = "application/vnd.apache.parquet"
TAKEN = {
    "dataframe_split": Request(body(ROW)),
    "dataframe_records": Request(json.dumps({"dataframe_records": [GOOD]}).encode()),
    "inputs": Request(json.dumps({"inputs": [GOOD]}).encode()),
    "inputs by column": Request(json.dumps({"inputs": {k: [v] for k, v in GOOD.items()}}).encode()),
    "instances": Request(json.dumps({"instances": [GOOD]}).encode()),
    "CSV": Request(b"question,context\nwho sings,dolly parton sings\n", "text/csv"),
    "a charset": Request(body(ROW), "application/json; charset=utf-8"),
    "params": Request(body(ROW, params={"top_k": 1, "errors": None})),
}
REFUSED = {  # request, status, code
    "a param of another kind": (Request(body(BAD, params={"top_k": "2"})), 400, "invalid_type"),
    "a param out of range": (Request(body(BAD, params={"top_k": -1})), 400, "invalid_value"),
    "params that are none": (Request(body(BAD, params=SECRET)), 400, "invalid_type"),
    "errors in no such way": (Request(body(BAD, params={"errors": SECRET})), 400, "invalid_value"),
    "a short row": (Request(body([SECRET])), 400, "invalid_body"),
    "a missing column": (Request(body([SECRET], columns=("question",))), 400, "missing_field"),
    "a column twice": (Request(body([*BAD, "x"], columns=("text", "text", "question"))), 400, None),
    "a number for a text": (Request(body([SECRET, 5])), 400, "invalid_type"),
    "a list for a text": (Request(body([[SECRET], {"a": SECRET}])), 400, "invalid_type"),
    "no JSON": (Request(b'{"dataframe_split": ' + SECRET.encode()), 400, "invalid_body"),
    "no UTF-8": (Request(b"\xff" + SECRET.encode()), 400, "invalid_body"),
    "CSV that is no UTF-8": (Request(b"\xff" + SECRET.encode(), "text/csv"), 400, "invalid_body"),
    "CSV that ends early": (Request(b'"' + SECRET.encode(), "text/csv"), 400, "invalid_body"),
    "no form of MLflow's": (Request(b'{"question": "xyzzy"}'), 400, "invalid_body"),
    "deep JSON": (Request(b'{"dataframe_split":' + b"[" * 9000), 400, "invalid_body"),
    "a picture": (Request(SECRET.encode(), "image/png"), 415, "unsupported_media_type"),
    "no Parquet": (Request(SECRET.encode(), PARQUET_TYPE), *(NO_FORM if MLFLOW_3 else NO_TYPE)),
    "Parquet of other kinds": (
        Request(PARQUET.getvalue(), PARQUET_TYPE),
        *((400, "invalid_type") if MLFLOW_3 else NO_TYPE),
    ),
    "too much": (Request(body(BAD) + b" " * 20_000), 413, "too_large"),
}


@pytest.mark.parametrize("form", TAKEN)
def test_the_servers_forms_are_taken(app: MLflowApp, form: str) -> None:
    reply = app.send(TAKEN[form])
    (answer,) = json.loads(reply.body)["predictions"]
    assert (reply.status, answer["answer"]) == (200, "dolly parton")


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_has_the_cores_body_and_nothing_of_the_callers(
    app: MLflowApp, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    request, status, code = REFUSED[case]
    reply: Reply = app.send(request)
    error = json.loads(reply.body)["error"]
    assert (reply.status, set(error)) == (status, {"code", "message"})
    assert code in (error["code"], None)
    assert SECRET not in reply.body.decode()
    assert SECRET not in caplog.text


def test_a_param_is_named_with_its_kind(app: MLflowApp) -> None:
    error = json.loads(app.send(REFUSED["a param of another kind"][0]).body)["error"]
    assert error["message"] == "'params.top_k' must be of the kind long"


def test_a_defect_is_told_without_its_trace(
    qa: Package, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Any, *args: Any, **more: Any) -> Any:
        raise ZeroDivisionError

    with serving(qa) as app:
        monkeypatch.setattr(RowScorer, "score", broken)
        reply = app.send(TAKEN["dataframe_split"])
    assert reply.status == 500
    assert json.loads(reply.body)["error"]["code"] == "internal"
    assert "ZeroDivisionError" in caplog.text


def test_a_bad_row_is_an_answer_of_the_server_too(app: MLflowApp) -> None:
    reply = app.send(Request(body(ROW, [None, SECRET], params={"errors": "column"})))
    good, bad = json.loads(reply.body)["predictions"]
    assert (good["answer"], good[ERROR], bad["answer"], bad["score"]) == (
        "dolly parton",
        None,
        None,
        None,
    )
    assert bad[ERROR].startswith("missing_field: ")


def test_a_model_loaded_again_is_refused_for_once(qa: Package, app: MLflowApp) -> None:
    from mlflow.pyfunc import scoring_server

    inner = scoring_server.invocations.__wrapped__
    mlflow.pyfunc.load_model(str(qa.path))
    assert scoring_server.invocations.__wrapped__ is inner
    assert not hasattr(inner, "__wrapped__")
