"""DeepSparse Server's configuration and its endpoints' requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onnxferry import scoring
from onnxferry.pipelines.binding import bind
from onnxferry.pipelines.errors import PipelineError
from onnxferry.pipelines.server_config import is_server_config, parse, server_config
from onnxferry.scoring.errors import ScoringError
from tests.pipelines import folders

YAML = """
num_cores: 2
num_workers: 1
engine_thread_pinning: none
pytorch_num_threads: 1
loggers:
  prometheus: {port: 6100}
endpoints:
  - task: question_answering
    route: /unpruned/predict
    model: models/qa
    bucketing: {sequence_lengths: [16, 32]}
    kwargs: {doc_stride: 8}
  - name: mood
    task: sentiment_analysis
    model: models/mood
    batch_size: 4
    data_logging: {}
  - {task: ner, model: m}
  - {task: ner, model: m}
"""


def test_a_yaml_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "server.yaml").write_text(YAML)
    config = server_config(tmp_path / "server.yaml")
    assert (config.num_cores, config.num_workers, config.port) == (2, 1, 5543)
    qa, mood, *ner = config.endpoints
    assert (qa.name, qa.path) == ("question_answering-0", "/unpruned/predict")
    assert qa.arguments == {"batch_size": 1, "sequence_length": [16, 32], "doc_stride": 8}
    assert (mood.name, mood.path, mood.arguments) == ("mood", "/mood", {"batch_size": 4})
    assert [endpoint.path for endpoint in ner] == ["/ner-0", "/ner-1"]
    said = {note.split("'")[1] for note in config.notes}
    pinning = {"engine_thread_pinning", "pytorch_num_threads"}
    assert said == {*pinning, "loggers", "endpoints[1].data_logging"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], "the configuration must be an object"),
        ({}, "'endpoints' must be a list"),
        ({"endpoints": [{"model": "m"}]}, r"'endpoints\[0\].task' is missing"),
        ({"endpoints": [{"task": "qa"}]}, r"'endpoints\[0\].model' is missing"),
        ({"endpoints": [{"task": "yolo", "model": "m"}]}, "'yolo' of DeepSparse is not answered"),
        ({"endpoints": [{"task": "qa", "model": "m", "rout": "/"}]}, "did you mean 'route'"),
        ({"num_core": 2, "endpoints": []}, "'num_core' is not known; did you mean 'num_cores'"),
        (
            {"endpoints": [{"task": "qa", "model": "m", "route": "/a"}] * 2},
            "several endpoints have the route '/a'",
        ),
        (
            {"endpoints": [{"task": "qa", "model": "m", "bucketing": {}}]},
            "must hold sequence_lengths or image_sizes",
        ),
    ],
)
def test_a_key_that_cannot_be_used_is_named(data: object, told: str) -> None:
    with pytest.raises(ScoringError, match=told):
        parse(data)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("endpoints: [")
    with pytest.raises(PipelineError, match=r"bad\.yaml: not readable .no YAML"):
        server_config(tmp_path / "bad.yaml")
    (tmp_path / "none.yaml").write_text("endpoints: []")
    with pytest.raises(PipelineError, match=r"none\.yaml: 'endpoints' must be"):
        server_config(tmp_path / "none.yaml")
    assert is_server_config({"endpoints": []}) and not is_server_config({"models": []})


def test_a_request_of_deepsparse_is_answered_by_the_same_scorer(tmp_path: Path) -> None:
    bound = bind("glue", folders.folder("text", tmp_path), {"top_k": 2, "sequence_length": 16})
    scorer = scoring.load(bound.path, spec=bound.spec)
    request = {"sequences": ["good", "bad"]}
    answer = bound.response(request, scorer.answer(bound.payload(request)))
    assert answer["labels"] == [["good", "long"], ["bad", "long"]]
    assert json.dumps(answer)
    with pytest.raises(ScoringError, match="the body must be an object"):
        bound.payload([])


def test_a_path_in_a_request_is_not_opened(tmp_path: Path) -> None:
    """As DeepSparse's server does: it would tell a client what the server's files are."""
    bound = bind("image_classification", folders.folder("image", tmp_path), {})
    scorer = scoring.load(bound.path, spec=bound.spec)
    with pytest.raises(ScoringError, match="is not base64 of a picture"):
        scorer.answer(bound.payload({"images": ["/etc/passwd"]}))
    pixels = [[[200, 0, 0]] * 5] * 5
    request = {"images": [pixels, pixels]}
    assert bound.response(request, scorer.answer(bound.payload(request)))["labels"] == [[0], [0]]
