"""One wrong request from a right one, by a random generator that fixes every choice: data, bytes
and headers."""

from __future__ import annotations

import copy
import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from onnxferry.scoring.codecs import DECODERS, ENCODERS
from onnxferry.scoring.wire import Request
from tests.fuzz import valid
from tests.fuzz.valid import Raw

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    15,
    512,
    2**31 - 1,
    2**31,
    -(2**31),
    2**63,
    -(2**63) - 1,
    2**64,
    10**30,
    0.5,
    -0.0,
    1e-320,
    1e38,
    1e308,
    Raw("NaN"),
    Raw("-Infinity"),
    Raw("1e400"),
    Raw("-1e999"),
    Raw("9" * 5000),
    Raw("0x10"),
    Raw(""),
    Raw("[" * 900 + "]" * 900),
    Raw("[" * 9000),
    Raw('{"a":' * 400 + "1" + "}" * 400),
    Raw('{"a": 1, "a": 2}'),
    Raw("[1,]"),
    "",
    " ",
    "\n\t",
    "a",
    "0",
    "null",
    "none",
    "NONE",
    "\ud800",
    "a\udfffb",
    "\x00",
    "\ufeff",
    "😀",
    "e\u0301" * 50,
    "\u202eabc",
    "\u200b",
    "ﬃ",
    "İ",
    "x" * 150,
    "é" * 5000,
    "word " * 3000,
    "[MASK]",
    "[MASK] " * 40,
    "{}",
    "{0!r}",
    "%s",
    "../../etc/passwd",
    "http://127.0.0.1/",
    "https://example.com/a.png",
    "file:///etc/passwd",
    "data:image/png;base64,AAAA",
    "data:,",
    "AAAA",
    "AAA",
    "<script>",
    "'; --",
    [],
    [[]],
    [None],
    [""],
    ["a", 1],
    ["good"] * 3,
    ["a"] * 1100,
    [[1.0, 2.0]],
    [[[0.5] * 4] * 3],
    {},
    {"": ""},
    {"inputs": "good"},
    {"question": "a", "context": "b"},
    {"text": "a", "text_pair": "b"},
    {"data": [1], "shape": [1], "dtype": "float32"},
    {"shape": [2**40], "data": []},
)
NAMES = (
    "inputs",
    "parameters",
    "question",
    "context",
    "sequences",
    "text",
    "text_pair",
    "top_k",
    "max_answer_len",
    "doc_stride",
    "max_seq_len",
    "max_question_len",
    "handle_impossible_answer",
    "align_to_words",
    "function_to_apply",
    "pooling",
    "normalize",
    "aggregation_strategy",
    "stride",
    "ignore_labels",
    "candidate_labels",
    "hypothesis_template",
    "multi_label",
    "targets",
    "return_all_scores",
    "truncation",
    "options",
    "",
    "__class__",
    "k" * 300,
    "a\nb",
    "\ud800",
)
CODINGS = (
    "gzip",
    "GZIP",
    "x-gzip",
    "deflate",
    "br",
    "identity",
    "gzip, gzip",
    "",
    "zstd",
    "\udcff",
    "*",
    "gzip;q=0",
)
PARAMETERS = (
    "; charset=utf-8",
    "; charset=utf-16",
    "; charset=latin-1",
    "; charset=utf-7",
    "; charset=idna",
    "; charset=\x00",
    "; charset=",
    '; charset="utf-8',
    ";;;",
    "; boundary=",
    "; boundary=" + "b" * 200,
    "; q=0",
    ";q=1;q=0",
    "; header=absent",
    "; charset=zlib",
    "; charset=unicode_escape",
)
IDS = (
    "",
    "7",
    "a" * 1000,
    "a\r\nSet-Cookie: b",
    "\x00\x1b[31m",
    "ü",
    "\udcff",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067-01",
)


def request(model: str, parameters: Sequence[str], random: Random) -> Request:
    """The next request of `random`: mostly one or two things wrong, one in twenty as it should be.
    `parameters` names those that the model takes."""
    name, data = valid.media_type(random), valid.payload(model, random)
    kind = random.random()
    if 0.05 < kind < 0.55:
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            data = (
                asked(data, parameters, random)
                if random.random() < 0.4
                else structure(data, random)
            )
    made = Request(valid.body(name, data, random), valid.content_type(name))
    if 0.5 < kind < 0.85:
        made = replace(made, body=octets(made.body, random))
    if 0.8 < kind < 0.97:
        made = headers(made, random)
    if kind > 0.97:
        made = replace(made, body=random.randbytes(random.choice((0, 1, 7, 300, 5000))))
    return made


def asked(data: Any, parameters: Sequence[str], random: Random) -> Any:
    """`data` with one or two of the parameters that the model takes, each of any value or a list of
    some."""
    values = {
        name: (
            random.choice(VALUES)
            if random.random() < 0.7
            else random.choices(VALUES, k=random.randint(1, 3))
        )
        for name in random.choices(parameters, k=random.randint(1, 2))
    }
    return {**data, "parameters": values} if isinstance(data, dict) else data


def structure(data: Any, random: Random) -> Any:
    """`data` with one node replaced, removed, renamed, repeated or added."""
    data = copy.deepcopy(data)
    nodes = list(_nodes(data))
    if not nodes or random.random() < 0.05:
        return random.choice(VALUES)
    parent, key = random.choice(nodes)
    random.choice(_CHANGES)(parent, key, random)
    return data


def _nodes(data: Any) -> Any:
    if isinstance(data, dict | list):
        for key in list(data) if isinstance(data, dict) else range(len(data)):
            yield data, key
            yield from _nodes(data[key])


def _replace(parent: Any, key: Any, random: Random) -> None:
    parent[key] = random.choice(VALUES)


def _remove(parent: Any, key: Any, random: Random) -> None:
    del parent[key]


def _wrap(parent: Any, key: Any, random: Random) -> None:
    parent[key] = (
        [parent[key]] * random.choice((1, 2, 40))
        if random.random() < 0.6
        else {random.choice(NAMES): parent[key]}
    )


def _add(parent: Any, key: Any, random: Random) -> None:
    value = random.choice(VALUES)
    if isinstance(parent, list):
        parent.insert(random.randint(0, len(parent)), value)
    else:
        parent[random.choice(NAMES)] = value


def _parameter(parent: Any, key: Any, random: Random) -> None:
    if isinstance(parent, dict):
        parent["parameters"] = {
            random.choice(NAMES): random.choice(VALUES) for _ in range(random.randint(1, 3))
        }


def _mangle(parent: Any, key: Any, random: Random) -> None:
    """A text with something strange within it; other values become text."""
    text, strange = (
        str(parent[key])[:2000],
        random.choice([value for value in VALUES if type(value) is str]),
    )
    at = random.randint(0, len(text))
    parent[key] = text[:at] + strange + text[at:]


_CHANGES: tuple[Callable[[Any, Any, Random], None], ...] = (
    _replace,
    _replace,
    _replace,
    _remove,
    _wrap,
    _add,
    _add,
    _parameter,
    _parameter,
    _mangle,
    _mangle,
)


def octets(body: bytes, random: Random) -> bytes:
    """`body` with bytes flipped, cut, repeated, inserted or removed, in one to eight places."""
    changed = bytearray(body)
    for _ in range(random.choice((1, 1, 2, 8))):
        at, length = random.randint(0, len(changed)), random.choice((1, 1, 2, 4, 16, 200))
        match random.randint(0, 5):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << random.randint(0, 7)
            case 1:
                del changed[at:]
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length] * random.choice((1, 3, 50))
            case 4:
                changed[at:at] = random.randbytes(length)
            case _:
                changed[at : at + length] = random.choice(
                    (b"\xff\xff\xff\xff", b"\x00" * 4, b"\xed\xa0\x80", b"\r\n", b'"', b"--")
                )
    return bytes(changed)


def headers(made: Request, random: Random) -> Request:
    """`made` with one to three of its headers changed, or its body in a content coding, sound or
    not."""
    for _ in range(random.choice((1, 1, 2, 3))):
        made = random.choice(_HEADERS)(made, random)
    return made


def _type(made: Request, random: Random) -> Request:
    name = random.choice(
        (
            *DECODERS,
            *ENCODERS,
            "text/html",
            "",
            "/",
            "application",
            "*/*",
            "a" * 5000,
            "\udcff",
            "image/avif",
        )
    )
    return replace(
        made, content_type=name + (random.choice(PARAMETERS) if random.random() < 0.5 else "")
    )


def _parameters(made: Request, random: Random) -> Request:
    return replace(made, content_type=made.content_type + random.choice(PARAMETERS))


def _accept(made: Request, random: Random) -> Request:
    names = (
        *ENCODERS,
        "*/*",
        "text/*",
        "application/*",
        "image/png",
        "",
        ",",
        "a" * 5000,
        "\udcff",
        "*/*;q=0",
        "*;q=0.1",
    )
    entries = [
        random.choice(names) + random.choice(("", "", ";q=0.5", ";q=0", ";q=x", ";q=2"))
        for _ in range(random.randint(1, 3))
    ]
    return replace(made, accept=",".join(entries * random.choice((1, 1, 1, 500))))


def _coding(made: Request, random: Random) -> Request:
    return replace(made, content_encoding=random.choice(CODINGS))


def _coded(made: Request, random: Random) -> Request:
    """A body that is compressed, and half of the time damaged; or a bomb of 20 MB."""
    packed = random.choice((gzip.compress, zlib.compress))(
        made.body if random.random() < 0.98 else b" " * 20_000_000
    )
    body = packed if random.random() < 0.5 else octets(packed, random)
    return replace(made, body=body, content_encoding=random.choice(("gzip", "deflate")))


def _back(made: Request, random: Random) -> Request:
    return replace(made, accept_encoding=random.choice(CODINGS))


def _id(made: Request, random: Random) -> Request:
    return replace(made, id=random.choice(IDS))


def _length(made: Request, random: Random) -> Request:
    return replace(made, content_length=random.choice((-1, 0, 1, 5_000_001, 2**80)))


_HEADERS = (_type, _parameters, _accept, _accept, _coding, _coded, _coded, _back, _id, _length)
