"""The clients of other servers get the core's numbers from this one: tritonclient, openai, boto3,
and what clients of AzureML, DeepSparse, MLServer, Vertex AI, Cohere and TEI send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import numpy as np
import openai
import pytest
import tritonclient.http as triton
from botocore.config import Config
from botocore.exceptions import ClientError
from tritonclient.utils import InferenceServerException

from onnxferry import scoring
from onnxferry.scoring.wire import Request
from tests import tiny
from tests.targets.local.routes.inprocess import listening
from tests.targets.local.routes.test_document import PICTURE
from tests.targets.served import prepared_tensors

X = np.array([[1.5, -2.0, 0.25], [3.0, 4.0, -0.5]], np.float32)
K = np.array([[1], [-2]], np.int64)
TEXTS = ["good day", "naïve 😀 bad"]
QUESTIONS = [tiny.QUESTION, {"question": "When", "context": "Dolly was born in 1946"}]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "text": tiny.text_classification(folder / "text"),
        "embed": tiny.feature_extraction(folder / "embed", pooling="mean"),
        "other": tiny.feature_extraction(folder / "other", pooling="cls", normalize=True),
        "qa": tiny.question_answering(folder / "qa"),
        "tensors": prepared_tensors(folder / "tensors"),
        "image": tiny.image_classification(folder / "image"),
        "rank": tiny.text_ranking(folder / "rank"),
        "entities": tiny.token_classification(folder / "entities"),
        "similar": tiny.sentence_similarity(folder / "similar"),
    }


@pytest.fixture(scope="module")
def scorers(models: dict[str, Path]) -> dict[str, scoring.Scorer]:
    return {name: scoring.load(folder) for name, folder in models.items()}


@pytest.fixture(scope="module")
def address(models: dict[str, Path]) -> Iterator[str]:
    with listening(models) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def tritons(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as client:
        yield client


def core(scorer: scoring.Scorer, payload: Any) -> Any:
    answer = scorer.handle(Request(json.dumps(payload).encode()))
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def tensor(name: str, values: Any, datatype: str, binary: bool) -> Any:
    array = np.array(values, object) if datatype == "BYTES" else np.asarray(values)
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def test_what_triton_asks_of_a_server(tritons: triton.InferenceServerClient) -> None:
    assert tritons.is_server_live()
    assert tritons.is_server_ready()
    assert tritons.is_model_ready("text")
    assert tritons.is_model_ready("text", "1")
    assert not tritons.is_model_ready("text", "2")
    assert not tritons.is_model_ready("nothing")
    assert "binary_tensor_data" in tritons.get_server_metadata()["extensions"]
    told = tritons.get_model_metadata("tensors")
    assert told["inputs"][1] == {"name": "k", "datatype": "INT64", "shape": [-1, 1]}
    assert {entry["name"] for entry in tritons.get_model_repository_index()} >= {"text", "qa"}


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("compressed", [None, "gzip"])
def test_arrays_by_triton(
    tritons: triton.InferenceServerClient,
    scorers: dict[str, scoring.Scorer],
    sent: bool,
    back: bool,
    compressed: str | None,
) -> None:
    wanted = [triton.InferRequestedOutput(n, binary_data=back) for n in ("positive", "square")]
    got = tritons.infer(
        "tensors",
        [tensor("x", X, "FP32", sent), tensor("k", K, "INT64", sent)],
        outputs=wanted,
        request_id="mine",
        request_compression_algorithm=compressed,
        response_compression_algorithm=compressed,
    )
    expected = core(scorers["tensors"], {"inputs": {"x": X.tolist(), "k": K.tolist()}})
    assert got.as_numpy("square").dtype == np.float32
    assert got.as_numpy("square").tolist() == expected["square"]
    assert got.as_numpy("positive").tolist() == expected["positive"]
    response = got.get_response()
    assert (response["id"], [output["name"] for output in response["outputs"]]) == (
        "mine",
        ["positive", "square"],
    )


@pytest.mark.parametrize("binary", [True, False])
def test_texts_by_triton(
    tritons: triton.InferenceServerClient, scorers: dict[str, scoring.Scorer], binary: bool
) -> None:
    got = tritons.infer("text", [tensor("text", TEXTS, "BYTES", binary)])
    expected = core(scorers["text"], {"inputs": TEXTS})
    assert [text.decode() for text in got.as_numpy("label")] == [e["label"] for e in expected]
    assert got.as_numpy("score").tolist() == [e["score"] for e in expected]


def test_embeddings_and_answers_by_triton(
    tritons: triton.InferenceServerClient, scorers: dict[str, scoring.Scorer]
) -> None:
    vectors = tritons.infer("embed", [tensor("text", TEXTS, "BYTES", True)]).as_numpy("embedding")
    assert vectors.dtype == np.float32
    assert vectors.tolist() == core(scorers["embed"], {"inputs": TEXTS})
    columns = [
        tensor(n, [question[n] for question in QUESTIONS], "BYTES", True)
        for n in ("question", "context")
    ]
    got = tritons.infer("qa", columns)
    expected = core(scorers["qa"], {"inputs": QUESTIONS})
    for name in ("score", "start", "end"):
        assert got.as_numpy(name).tolist() == [answer[name] for answer in expected]


def test_what_no_tensor_fits_is_json(
    tritons: triton.InferenceServerClient, scorers: dict[str, scoring.Scorer]
) -> None:
    (told,) = tritons.get_model_metadata("entities")["outputs"]
    assert told["parameters"] == {"content_type": "hg_json"}
    got = tritons.infer("entities", [tensor("text", ["Dolly Rebecca", "1946"], "BYTES", True)])
    found = [json.loads(text) for text in got.as_numpy("entities")]
    assert found == core(scorers["entities"], {"inputs": ["Dolly Rebecca", "1946"]})


def test_pictures_by_triton(
    tritons: triton.InferenceServerClient, scorers: dict[str, scoring.Scorer]
) -> None:
    got = tritons.infer("image", [tensor("image", [PICTURE] * 2, "BYTES", True)])
    expected = json.loads(scorers["image"].handle(Request(PICTURE, "image/bmp")).body)
    assert [text.decode() for text in got.as_numpy("label")] == [expected[0]["label"]] * 2


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        ("tensors", [("x", X, "FP32")], "inputs.k"),
        ("tensors", [("x", X, "FP32"), ("k", K.astype(np.float32), "FP32")], "inputs.k"),
        ("tensors", [("x", X, "FP32"), ("k", K.T, "INT64")], r"shape \[1, 2\]"),
        ("text", [("txt", TEXTS, "BYTES")], "no input 'txt'; it takes text"),
        ("text", [("text", X, "FP32")], "'text' must be BYTES, got FP32"),
        ("text", [("text", [TEXTS], "BYTES")], r"'text' has shape \[1, 2\]"),
        ("qa", [("question", TEXTS, "BYTES")], "input 'context' is missing"),
        (
            "qa",
            [("question", TEXTS, "BYTES"), ("context", TEXTS[:1], "BYTES")],
            "'question' has 2, 'context' has 1",
        ),
        ("nothing", [("text", TEXTS, "BYTES")], "no model 'nothing'"),
    ],
)
@pytest.mark.parametrize("binary", [True, False])
def test_a_wrong_tensor_is_named(
    tritons: triton.InferenceServerClient,
    model: str,
    inputs: list[tuple[str, Any, str]],
    message: str,
    binary: bool,
) -> None:
    with pytest.raises(InferenceServerException, match=message):
        tritons.infer(model, [tensor(*one, binary) for one in inputs])


HEAD = b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": %s}]}'


@pytest.mark.parametrize(
    ("length", "size", "data", "message"),
    [
        ("9999", b"8", b"\4\0\0\0good", "Inference-Header-Content-Length"),
        ("x", b"8", b"\4\0\0\0good", "Inference-Header-Content-Length"),
        (None, b"9", b"\4\0\0\0good", "'binary_data_size' must be one of the 8 bytes left"),
        (None, b"4", b"\4\0\0\0good", "an element is longer than the data"),
        (None, b"6", b"\2\0\0\0go\0\0", "2 bytes of binary data are left"),
        (None, b"6", b"\2\0\0\0\xff\xff", "not UTF-8"),
        (None, b"16", b"\4\0\0\0good\4\0\0\0good", "has 2 values"),
        (None, b"-1", b"", "binary_data_size"),
    ],
)
def test_broken_binary_bodies(
    client: httpx.Client, length: str | None, size: bytes, data: bytes, message: str
) -> None:
    head = HEAD % (b'{"binary_data_size": %s}' % size)
    headers = {"Inference-Header-Content-Length": length or str(len(head))}
    got = client.post("/v2/models/text/infer", content=head + data, headers=headers)
    assert got.status_code == 400
    assert message in got.json()["error"]


def test_half_precision_comes_and_goes(tmp_path: Path) -> None:
    from onnx import TensorProto

    from tests.targets.local.routes.inprocess import asked

    folder = tiny.typed(tmp_path, TensorProto.FLOAT16, ["n"])
    with asked({"half": folder}) as client:
        data = np.array([1.5, -0.25], np.float16).tobytes()
        head = json.dumps(
            {
                "inputs": [
                    {
                        "name": "x",
                        "shape": [2],
                        "datatype": "FP16",
                        "parameters": {"binary_data_size": 4},
                    }
                ],
                "parameters": {"binary_data_output": True},
            }
        ).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        got = client.post("/v2/models/half/infer", content=head + data, headers=headers)
    assert got.status_code == 200, got.text
    told = json.loads(got.content[: int(got.headers["Inference-Header-Content-Length"])])
    assert (told["outputs"][0]["datatype"], got.content[-4:]) == ("FP16", data)


def test_what_mlservers_clients_send(
    client: httpx.Client, scorers: dict[str, scoring.Scorer]
) -> None:
    texts = {
        "name": "array_inputs",
        "shape": [2, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "str"},
        "data": TEXTS,
    }
    got = client.post("/v2/models/text/infer", json={"inputs": [texts]}).json()["outputs"][0]
    assert (got["name"], got["shape"]) == ("output", [2, 1])
    assert [json.loads(text) for text in got["data"]] == core(scorers["text"], {"inputs": TEXTS})


@pytest.fixture(scope="module")
def openais(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", ["embed", "other"])
@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_embeddings_by_openai(
    openais: openai.OpenAI, scorers: dict[str, scoring.Scorer], model: str, encoding: Any
) -> None:
    more = {"encoding_format": encoding} if encoding else {}
    got = openais.embeddings.create(model=model, input=TEXTS, **more)
    expected = np.array(core(scorers[model], {"inputs": TEXTS}), np.float32)
    for i, entry in enumerate(got.data):
        vector = entry.embedding
        if encoding == "base64":
            import base64

            vector = np.frombuffer(base64.b64decode(str(vector)), "<f4").tolist()
        assert (entry.index, np.array(vector, np.float32).tolist()) == (i, expected[i].tolist())
    assert got.usage.prompt_tokens == got.usage.total_tokens > len(TEXTS)


def test_dimensions_and_errors_by_openai(openais: openai.OpenAI) -> None:
    got = openais.embeddings.create(model="embed", input="good day", dimensions=1)
    assert len(got.data[0].embedding) == 1
    with pytest.raises(openai.NotFoundError, match="'model' names none") as raised:
        openais.embeddings.create(model="text-embedding-3-small", input="x")
    assert raised.value.code == "not_found"
    with pytest.raises(openai.BadRequestError, match="token numbers"):
        openais.embeddings.create(model="embed", input=[1, 2])
    with pytest.raises(openai.BadRequestError, match="'dimensions' is 3"):
        openais.embeddings.create(model="embed", input="x", dimensions=3)
    with pytest.raises(openai.BadRequestError, match=r"'input\[1\]'"):
        openais.embeddings.create(model="embed", input=["x", ""])
    assert {model.id for model in openais.models.list()} >= {"text", "embed"}
    assert openais.models.retrieve("qa").id == "qa"


def test_invocations_by_boto3(address: str, scorers: dict[str, scoring.Scorer]) -> None:
    """The path differs: boto3 puts the endpoint's name before it, which a proxy in front takes
    off."""
    client = boto3.client(
        "sagemaker-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://{address}",
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106
        config=Config(retries={"max_attempts": 1}, proxies={}),
    )
    client.meta.events.register(
        "before-sign", lambda request, **_: setattr(request, "url", f"http://{address}/invocations")
    )
    body = json.dumps({"inputs": TEXTS})
    for target, name in (({}, "text"), ({"TargetModel": "embed.tar.gz"}, "embed")):
        got = client.invoke_endpoint(
            EndpointName="any", ContentType="application/json", Body=body, **target
        )
        assert json.loads(got["Body"].read()) == core(scorers[name], {"inputs": TEXTS})
    with pytest.raises(ClientError, match="404"):
        client.invoke_endpoint(
            EndpointName="any", ContentType="application/json", Body=body, TargetModel="nothing"
        )


def test_one_text_has_one_answer_by_every_protocol(
    client: httpx.Client, scorers: dict[str, scoring.Scorer]
) -> None:
    expected = core(scorers["text"], {"inputs": ["good day"]})
    for path in ("/predict", "/score", "/invocations", "/api/score", "/models/text/predict"):
        assert client.post(path, json={"inputs": ["good day"]}).json() == expected
    vertex = client.post("/v1/models/text:predict", json={"instances": ["good day"]}).json()
    assert vertex == {"predictions": expected}
    sparse = client.post("/v2/models/text/infer", json={"sequences": ["good day"]}).json()
    assert sparse == {"labels": [expected[0]["label"]], "scores": [expected[0]["score"]]}


def test_what_deepsparses_clients_ask(client: httpx.Client) -> None:
    got = client.post("/v2/models/qa/infer", json=tiny.QUESTION).json()
    assert got == {"score": 8.0, "answer": "Rebecca", "start": 6, "end": 13}  # two logits' sum
    assert "/v2/models/qa/infer" in client.get("/endpoints").json()
    (found,) = (e for e in client.get("/config").json()["endpoints"] if e["name"] == "qa")
    assert found["task"] == "question_answering"


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_reranking_finds_its_model(client: httpx.Client, path: str) -> None:
    body = {"query": "good", "documents": ["bad", "great day"], "model": "whatever"}
    assert [e["index"] for e in client.post(path, json=body).json()["results"]] == [1, 0]
    tei = client.post(path, json={"query": "good", "texts": ["bad", "great day"]}).json()
    assert [entry["index"] for entry in tei] == [1, 0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"instances": []}, "empty list"),
        ({"instances": "x"}, "must be a list"),
        ({}, "'instances' is missing"),
        ({"instances": ["x", 3]}, "'instances[1]'"),
        ({"instances": ["x"], "parameters": []}, "'parameters' must be an object"),
    ],
)
def test_vertex_refusals(client: httpx.Client, body: Any, message: str) -> None:
    got = client.post("/v1/models/text:predict", json=body)
    assert (got.status_code, message in got.json()["error"]) == (400, True)
