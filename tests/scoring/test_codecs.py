"""Each media type makes the payload that the same request makes as JSON, and bad bytes are refused
by what is wrong."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from onnxferry.scoring import codecs
from onnxferry.scoring.codecs import DECODERS, Image
from onnxferry.scoring.errors import ScoringError

EVERY = tuple(DECODERS)
FORM = "multipart/form-data; boundary=xyz"


def decode(body: bytes | str, content_type: str) -> Any:
    return codecs.decode(body.encode() if isinstance(body, str) else body, content_type, EVERY)


def refused(body: bytes | str, content_type: str) -> tuple[str, str]:
    with pytest.raises(ScoringError) as caught:
        decode(body, content_type)
    return caught.value.code, str(caught.value)


def form(*parts: str) -> str:
    return (
        "".join(f"--xyz\r\nContent-Disposition: form-data; {part}\r\n" for part in parts)
        + "--xyz--\r\n"
    )


def npy(array: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content_type", "body", "payload"),
    [
        ("application/json", '\ufeff{"inputs": "x"}', "x"),
        ("application/jsonlines", '"a"\n\n{"question": "q"}\r\n', ["a", {"question": "q"}]),
        ("application/x-ndjson", '{"inputs": "a"}\n{"inputs": "b"}', ["a", "b"]),
        ("application/jsonl", '"one line"', ["one line"]),
        ("application/jsonlines", '{"inputs": "a\u2028b"}', ["a\u2028b"]),
        ("text/csv", 'inputs\r\n"a, ""b"""\r\nc\r\n', ['a, "b"', "c"]),
        ("text/csv", "text\na\n", ["a"]),
        ("text/csv", "\ufefftext\na\n", ["a"]),
        ("text/csv", "id,inputs\n1,a\n2,b", ["a", "b"]),
        (
            "text/csv",
            'question,context\nWho?,"two\nlines"\n',
            [{"question": "Who?", "context": "two\nlines"}],
        ),
        ("text/csv", "text,text_pair\na,b\n", [{"text": "a", "text_pair": "b"}]),
        ("text/plain", "a text\n", "a text\n"),
        (FORM, form('name="inputs"\r\n\r\na text'), "a text"),
        (FORM, form('name="inputs"\r\n\r\na', 'name="inputs"\r\n\r\nb'), ["a", "b"]),
        (
            FORM,
            form('name="file"; filename="x.png"\r\nContent-Type: image/png\r\n\r\n\x00\r\n'),
            Image(b"\x00\r\n"),
        ),
        (
            FORM,
            form('name="f"; filename="x"\r\n\r\n1', 'name="g"; filename="y"\r\n\r\n2'),
            [Image(b"1"), Image(b"2")],
        ),
        ("image/png", b"\x89PNG", Image(b"\x89PNG")),
        ("application/octet-stream", b"\x00", Image(b"\x00")),
    ],
)
def test_a_body_becomes_inputs(content_type: str, body: bytes | str, payload: Any) -> None:
    got = decode(body, content_type)
    assert (got if isinstance(got, Image) else got["inputs"]) == payload


def test_a_form_has_parameters_and_other_fields_too() -> None:
    body = form(
        'name="question"\r\n\r\nWho?',
        'name="context"\r\n\r\nMe',
        'name="parameters"\r\n\r\n{"top_k": 2}',
    )
    assert decode(body, FORM) == {"question": "Who?", "context": "Me", "parameters": {"top_k": 2}}
    assert decode(body, 'multipart/form-data; charset=utf-8; boundary="xyz"')["parameters"] == {
        "top_k": 2
    }


def test_lines_of_json_may_carry_the_requests_parameters() -> None:
    lines = (
        '{"inputs": "a", "parameters": {"top_k": 2}}\n{"inputs": "b"}\n{"inputs": "c",'
        ' "parameters": {"top_k": 2}}'
    )
    assert decode(lines, "application/jsonlines") == {
        "inputs": ["a", "b", "c"],
        "parameters": {"top_k": 2},
    }
    code, message = refused(lines.replace("2}}", "3}}", 1), "application/jsonlines")
    assert (code, message) == (
        "invalid_value",
        "line 3 has other 'parameters' than a line before; send it as its own request",
    )


@pytest.mark.parametrize(
    ("content_type", "body", "code", "names"),
    [
        ("application/jsonlines", '"a"\nb', "invalid_body", "line 2 of the body is not JSON"),
        ("application/jsonlines", " \n", "invalid_body", "no lines"),
        ("text/csv", "", "invalid_body", "no header"),
        ("text/csv", "inputs\n", "invalid_body", "no rows"),
        ("text/csv", "a,b\n1\n", "invalid_body", "line 2 of the CSV has 1 cell(s), the header 2"),
        ("text/csv", "a,a\n1,2", "invalid_body", "twice"),
        ("text/csv", 'inputs\n"a', "invalid_body", "not CSV"),
        (
            "text/csv",
            "inputs\n" + "a" * 200_000,
            "invalid_body",
            "at most 131072 characters, send longer",
        ),
        (
            "text/csv",
            ",".join(map(str, range(1001))) + "\n1",
            "invalid_body",
            "1001 columns; at most 1000",
        ),
        ("text/csv", b"inputs\n\xff", "invalid_body", "not UTF-8 text at byte 7"),
        (
            "text/plain; charset=latin-2000",
            "a",
            "unsupported_encoding",
            "'latin-2000' is not known; send UTF-8",
        ),
        ("text/plain; charset=idna", "a", "unsupported_encoding", "idna"),
        ("text/plain; charset=unicode_escape", "a", "unsupported_encoding", "unicode_escape"),
        ("text/plain; charset=hex", "a", "unsupported_encoding", "hex"),
        ("application/json; charset=utf-16", b"\x00", "invalid_body", "not UTF-16 text at byte 0"),
        ("multipart/form-data", "--xyz--", "invalid_body", "names no boundary"),
        (FORM, "--xyz\r\n", "invalid_body", "cut off"),
        (FORM, "--xyz--", "invalid_body", "no fields"),
        (FORM, "--xyz\r\n\r\ndata\r\n--xyz--", "invalid_body", "has no headers"),
        (FORM, "--xyz\r\nA: b\r\n\r\ndata\r\n--xyz--", "invalid_body", "has no name"),
        (
            FORM,
            form('name="parameters"\r\n\r\n{'),
            "invalid_body",
            "field 'parameters' of the form: the body",
        ),
        (
            FORM,
            form('name="a"; filename="a"\r\nContent-Type: a/pdf\r\n\r\n1'),
            "unsupported_media_type",
            "'a/pdf'",
        ),
        ("application/x-npy", b"", "invalid_body", "not npy"),
        ("application/x-npy", npy(np.array([None]), allow_pickle=True), "invalid_body", "kind 'O'"),
        ("application/x-npy", npy(np.array(["a"])), "invalid_body", "kind 'U'"),
        ("application/x-npy", npy(np.zeros(3, [("a", "f4")])), "invalid_body", "kind 'V'"),
        (
            "application/x-npy",
            npy(np.zeros(4))[:-1],
            "invalid_body",
            "claims 32 bytes of data, and 31 came",
        ),
        (
            "application/x-npy",
            npy(np.zeros(4)) + b"1",
            "invalid_body",
            "claims 32 bytes of data, and 33 came",
        ),
        (
            "application/x-npy",
            npy(np.zeros(0)).replace(b"(0,), }    ", b"(10**9,), }"),
            "invalid_body",
            "its header cannot be read",
        ),
        (
            "application/x-npy",
            npy(np.zeros(0)).replace(b"(0,), }" + b" " * 9, b"(9999999999,), }"),
            "invalid_body",
            "claims 79999999992 bytes",
        ),
        (
            "application/x-npy",
            npy(np.zeros((0, 3))).replace(b"(0, 3)", b"(-1,3)"),
            "invalid_body",
            "negative size",
        ),
        (
            "application/pdf",
            b"",
            "unsupported_media_type",
            "'application/pdf' is not accepted; send application/json",
        ),
        ("", b"", "unsupported_media_type", "content type '' is not accepted"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(
    content_type: str, body: bytes | str, code: str, names: str
) -> None:
    got, message = refused(body, content_type)
    assert got == code
    assert names in message


@pytest.mark.parametrize(
    "charset", ["latin-1", "ISO-8859-1", "utf-16", "UTF-16LE", "utf-32", "windows-1252", '"utf-8"']
)
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/jsonlines", "text/csv", "text/plain"]
)
def test_the_charset_of_a_text_counts(content_type: str, charset: str) -> None:
    bodies = {
        "application/json": '{"inputs": "é"}',
        "application/jsonlines": '"é"',
        "text/csv": "text\né",
        "text/plain": "é",
    }
    body = bodies[content_type].encode(charset.strip('"'))
    assert decode(body, f"{content_type}; Charset={charset}")["inputs"] in ("é", ["é"])


def test_json_is_accepted_in_all_its_forms_and_other_types_by_name() -> None:
    assert codecs.decode(b"text\na", "text/csv", ("application/json",)) == {"inputs": ["a"]}
    for other in ("text/plain", "application/x-npy", "image/png"):
        with pytest.raises(ScoringError, match=f"'{other}' is not accepted"):
            codecs.decode(b"a", other, ("application/json",))


@pytest.mark.parametrize(
    ("accept", "first"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("application/json;q=0.5, text/csv", "text/csv"),
        ("text/csv;q=0.5, application/json;q=0.50", "text/csv"),
        ("application/*, application/json;q=0", "application/jsonlines"),
        ("application/json;q=0, application/x-npy;q=0.2, */*;q=0.1", "application/x-npy"),
        ("APPLICATION/X-NDJSON; charset=utf-8", "application/x-ndjson"),
        ("text/csv;q=nonsense, application/json;q=0.9", "text/csv"),
        ("text/csv;q=7, application/json;q=0.9", "text/csv"),
        ("text/html, image/gif, *; q=.2, */*; q=.2", "application/json"),
        (",,", "application/json"),
    ],
)
def test_the_most_wanted_form_is_chosen(accept: str, first: str) -> None:
    assert codecs.negotiate(accept)[0] == first


@pytest.mark.parametrize("accept", ["text/html", "*/*;q=0", "application/json;q=0.000", "image/*"])
def test_no_form_that_is_wanted_is_refused(accept: str) -> None:
    with pytest.raises(ScoringError, match="no answer can be given as") as caught:
        codecs.negotiate(accept)
    assert caught.value.status == 406


@pytest.mark.parametrize(
    ("answer", "media_type", "body"),
    [
        ([{"a": 1}, {"a": "é"}], "application/jsonlines", '{"a": 1}\n{"a": "é"}\n'),
        ({"a": 1}, "application/x-ndjson", '{"a": 1}\n'),
        (
            [{"a": 0.5, "b": "x,y"}, {"a": True, "c": None}],
            "text/csv",
            'a,b,c\r\n0.5,"x,y",\r\ntrue,,\r\n',
        ),
        ({"a": np.float32(0.5)}, "text/csv", "a\r\n0.5\r\n"),
        (
            {"a": np.arange(4).reshape(2, 2), "b": np.int64(3)},
            "application/json",
            '{"a": [[0, 1], [2, 3]], "b": 3}',
        ),
        (np.arange(4).reshape(2, 2), "application/jsonlines", "[0, 1]\n[2, 3]\n"),
    ],
)
def test_an_answer_in_each_form(answer: Any, media_type: str, body: str) -> None:
    assert codecs.encode(answer, (media_type,)) == (body.encode(), media_type)


@pytest.mark.parametrize(
    ("answer", "media_type", "names"),
    [
        ([[{"a": 1}]], "text/csv", "not one object an item"),
        ([], "text/csv", "not one object an item"),
        ([{"a": [1]}], "text/csv", "'a' of this answer is no single value"),
        ([[1, 2], [3]], "application/x-npy", "differ in shape"),
        ([{"a": 1}], "application/x-npy", "not numbers alone"),
        ("text", "application/x-npy", "not numbers alone"),
    ],
)
def test_an_answer_without_that_form_is_refused_with_the_reason(
    answer: Any, media_type: str, names: str
) -> None:
    with pytest.raises(ScoringError, match=names) as caught:
        codecs.encode(answer, (media_type,))
    assert caught.value.code == "not_acceptable"
    assert codecs.encode(answer, (media_type, "application/json"))[1] == "application/json"


@pytest.mark.parametrize("media_type", ["application/json", "application/jsonlines", "text/csv"])
def test_nan_is_an_error_in_every_text(media_type: str) -> None:
    with pytest.raises(ScoringError, match="NaN or infinity"):
        codecs.encode([{"a": float("nan")}], (media_type,))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rows_of_numbers_are_the_same_float32_when_they_are_read(dtype: Any) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 100)) * 10.0 ** np.linspace(-50, 4, 100)
    rows[:, ::10] = [[0.0], [-0.0], [1.0]]
    rows = rows.astype(dtype)
    read = json.loads(codecs.encode_json({"data": [{"embedding": row} for row in rows], "n": 3}))
    assert np.array_equal(np.array([e["embedding"] for e in read["data"]], dtype), rows)
    assert read["n"] == 3
    assert all(type(number) is float for number in read["data"][0]["embedding"])


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_a_row_with_nan_or_infinity_is_an_error(number: float) -> None:
    row = np.zeros(100, np.float32)
    row[50] = number
    with pytest.raises(ScoringError, match="NaN or infinity"):
        codecs.encode_json([row])


def test_large_numbers_are_written_too() -> None:
    row = np.full((2, 100), 3e38, np.float32)
    assert np.array_equal(np.array(json.loads(codecs.encode_json(row)), np.float32), row)
