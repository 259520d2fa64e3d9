"""What is encoded is decoded to the same, and no bytes whatever raise anything but a refusal."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onnxferry.scoring import codecs
from onnxferry.scoring.codecs import DECODERS, ENCODERS, Image
from onnxferry.scoring.errors import ScoringError

EVERY = tuple(DECODERS)
FORM = "multipart/form-data; boundary=xyz"


def decode(body: bytes, content_type: str) -> Any:
    return codecs.decode(body, content_type, EVERY)


def status(body: bytes, content_type: str) -> int:
    try:
        decode(body, content_type)
    except ScoringError as e:
        return e.status
    return 200


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)


@given(VALUES)
def test_json_comes_back(value: Any) -> None:
    assert decode(ENCODERS["application/json"](value), "application/json") == value


@given(st.lists(VALUES.filter(lambda v: not (isinstance(v, dict) and "inputs" in v)), min_size=1))
def test_json_lines_come_back(items: list[Any]) -> None:
    assert decode(ENCODERS["application/jsonlines"](items), "application/jsonlines") == {
        "inputs": items
    }


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.lists(st.fixed_dictionaries({"question": CELLS, "context": CELLS}), min_size=1))
def test_csv_comes_back(rows: list[dict[str, str]]) -> None:
    assert decode(ENCODERS["text/csv"](rows), "text/csv") == {"inputs": rows}


@given(
    arrays.arrays(
        st.one_of(
            arrays.boolean_dtypes(),
            arrays.integer_dtypes(),
            arrays.unsigned_integer_dtypes(),
            arrays.floating_dtypes(),
        ),
        arrays.array_shapes(min_dims=0, min_side=0),
    )
)
def test_arrays_come_back(array: Any) -> None:
    back = decode(ENCODERS["application/x-npy"](array), "application/x-npy")["inputs"]
    assert back.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(back, array)
    fortran = decode(npy(np.asfortranarray(array)), "application/x-npy")["inputs"]
    np.testing.assert_array_equal(fortran, array)


@given(st.lists(st.binary().filter(lambda b: b"--xyz" not in b), min_size=1, max_size=4))
def test_uploaded_files_come_back(files: list[bytes]) -> None:
    head = b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="a;\\"b.jpg"\r\n\r\n'
    body = b"".join(head + data + b"\r\n" for data in files) + b"--xyz--"
    images = [Image(data) for data in files]
    assert decode(body, FORM) == {"inputs": images[0] if len(images) == 1 else images}


HEADER = npy(np.zeros(2))[:80]


@given(
    st.sampled_from(EVERY),
    st.binary() | st.binary().map(lambda tail: HEADER + tail) | st.text().map(str.encode),
    st.text(max_size=30),
)
@example("application/x-npy", b"\x93NUMPY\x03\x00", "")
@example("application/x-npy", b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16, "")
@example("text/plain", b"", "charset=\x00")
def test_no_bytes_raise_anything_but_a_refusal(media_type: str, body: bytes, rest: str) -> None:
    for content_type in (media_type, f"{media_type}; boundary=0", f"{media_type};{rest}"):
        assert status(body, content_type) in (200, 400, 415)


@given(st.data())
def test_no_damaged_array_raises_anything_but_a_refusal(data: st.DataObject) -> None:
    body = bytearray(npy(np.zeros((2, 3), np.float32)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert status(bytes(body), "application/x-npy") in (200, 400)


@given(st.text())
def test_any_accept_is_answered_or_refused(accept: str) -> None:
    try:
        assert set(codecs.negotiate(accept)) <= set(ENCODERS)
    except ScoringError as e:
        assert e.code == "not_acceptable"
