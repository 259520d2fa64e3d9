"""Pipeline.create, from_config, calls, timers and what they refuse."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxferry import Context, Pipeline, PipelineError
from onnxferry.pipelines import PipelineConfig, tasks
from onnxferry.pipelines.errors import InvalidInput
from onnxferry.scoring.errors import InvalidImage, ScoringError
from tests import tiny
from tests.pipelines import folders


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.text_classification(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.folder("image", tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("qa", "question_answering"),
        ("Question-Answering", "question_answering"),
        ("sentiment analysis", "text_classification"),
        ("glue", "text_classification"),
        ("NER", "token_classification"),
        ("zero-shot-text-classification", "zero_shot_text_classification"),
        ("zero-shot-classification", "zero_shot_text_classification"),
        ("embedding_extraction", "transformers_embedding_extraction"),
        ("feature-extraction", "transformers_embedding_extraction"),
    ],
)
def test_tasks_are_found_as_deepsparse_finds_them(given: str, name: str) -> None:
    assert tasks.find(given).name == name


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("tekst_classification", "unknown task.*did you mean 'text_classification'"),
        ("yolo", "'yolo' of DeepSparse is not answered.*object-detection"),
        ("haystack", "transformers_embedding_extraction gives vectors"),
        ("text-generation", "text is not generated here"),
        ("custom_task", "call your functions around Engine"),
    ],
)
def test_other_tasks_are_refused_with_what_to_do(given: str, told: str) -> None:
    with pytest.raises(PipelineError, match=told):
        tasks.find(given)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"topk": 2}, "no argument 'topk'; did you mean 'top_k'"),
        ({"top_k": 0}, "'top_k' must be between 1 and"),
        ({"batch_size": "8"}, "'batch_size' must be an integer, got a string"),
        ({"sequence_length": 512}, "'sequence_length' is 512 tokens; the model takes at most 16"),
        ({"sequence_length": []}, "'sequence_length' is an empty list"),
        ({"engine_type": "torchscript"}, "'engine_type' must be one of deepsparse, onnxruntime"),
        ({"scheduler": "best"}, "unknown scheduler 'best'"),
        ({"context": 4}, "'context' must be a Context, got an integer"),
        ({"tokenizer": "other"}, "'tokenizer' is not taken here"),
        ({"top_k": 2, "return_all_scores": True}, "leave one of them out"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(
    text: Path, arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(PipelineError, match=told):
        Pipeline.create("text_classification", model_path=text, **arguments)


def test_a_model_must_be_there_and_of_the_task(text: Path, tmp_path: Path) -> None:
    for path, told in (
        ("zoo:bert", "SparseZoo has ended"),
        (tmp_path / "none", "no such folder or file"),
        (tmp_path, "no such file; give it, or the folder that holds model.onnx"),
    ):
        with pytest.raises(PipelineError, match=told):
            Pipeline.create("glue", model_path=path)
    with pytest.raises(PipelineError, match="prepared for text-classification"):
        Pipeline.create("qa", model_path=text)
    with pytest.raises(PipelineError, match="models have no default"):
        Pipeline.create("qa")


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("config.json", None, "no config.json, which tells the labels"),
        ("config.json", "{", "config.json: not readable as JSON"),
        ("config.json", '{"id2label": {"a": "b"}}', "'id2label' must name each number"),
        ("tokenizer.json", None, "no tokenizer.json, which text tasks need"),
    ],
)
def test_a_folder_without_what_it_needs_is_named(
    tmp_path: Path, file: str, content: str | None, told: str
) -> None:
    path = folders.folder("text", tmp_path) / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(PipelineError, match=told):
        Pipeline.create("glue", model_path=tmp_path)


def test_arguments_and_the_model_are_attributes(text: Path) -> None:
    given: dict[str, Any] = {"top_k": 2, "alias": "mood", "batch_size": 8, "num_cores": 1}
    pipeline = Pipeline.create("glue", model=text, **given)
    assert (pipeline.top_k, pipeline.alias, pipeline.batch_size) == (2, "mood", 8)
    assert (pipeline.task, pipeline.sequence_length) == ("text_classification", 128)
    assert pipeline.model_path == str(text) and pipeline.engine.input_names
    assert pipeline.engine.num_cores == 1
    with pytest.raises(AttributeError, match="no attribute 'doc_stride'"):
        _ = pipeline.doc_stride


def test_what_means_nothing_is_said(text: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Pipeline.create("glue", model_path=text, input_shapes=[[1, 16]], executor=4)
    assert "'input_shapes' means nothing here" in caplog.text
    assert "'executor' means nothing here" in caplog.text


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda p: p("good", sequences="bad"), "either by name or in order"),
        (lambda p: p(sequence="bad"), "no input 'sequence'; did you mean 'sequences'"),
        (lambda p: p(), "'sequences' is missing"),
        (lambda p: p(""), "is empty; expected text"),
        (lambda p: p(3), "must be a string|must be a text"),
    ],
)
def test_a_call_that_cannot_be_answered_is_named(
    text: Path, call: Callable[[Pipeline], Any], told: str
) -> None:
    pipeline = Pipeline.create("glue", model_path=text)
    with pytest.raises((InvalidInput, ScoringError), match=told):
        call(pipeline)


def test_outputs_are_objects_and_data(text: Path) -> None:
    output = Pipeline.create("glue", model_path=text)("good")
    assert output.labels == ["good"]
    assert output.dict() == output.model_dump() == dict(output)
    assert json.loads(output.json()) == output.dict()
    with pytest.raises(AttributeError):
        output.labels = []


def test_timers_have_deepsparses_stages(text: Path) -> None:
    pipeline = Pipeline.create("glue", model_path=text)
    assert pipeline.current_timer is None
    pipeline("good")
    pipeline("bad")
    manager, timer = pipeline.timer_manager, pipeline.current_timer
    assert timer and len(manager.timers) == 1
    assert timer.stages == ["pre_process", "engine_forward", "post_process", "total_inference"]
    *parts, total = timer.times.values()
    assert sum(parts) == pytest.approx(total) and min(parts) > 0
    pipeline.benchmark = True
    pipeline("good")
    assert len(manager.all_times["engine_forward"]) == 2
    assert manager.times["total_inference"] > 0
    manager.clear()
    assert manager.latest is None


def test_a_pipeline_is_made_of_a_configuration(text: Path, tmp_path: Path) -> None:
    data: dict[str, Any] = {"task": "glue", "model_path": str(text), "kwargs": {"top_k": 2}}
    (tmp_path / "c.json").write_text(json.dumps(data))
    (tmp_path / "c.yaml").write_text(f"task: glue\nmodel_path: {text}\nkwargs: {{top_k: 2}}\n")
    config = PipelineConfig(**data)
    for source in (data, config, json.dumps(data), tmp_path / "c.json", str(tmp_path / "c.yaml")):
        made = Pipeline.from_config(source, context=Context(num_cores=1))
        assert len(made("good").labels[0]) == 2
    for wrong, told in (
        ({"model_path": "x"}, "'task' is missing"),
        ({"task": "glue", "modelpath": "x"}, "did you mean 'model_path'"),
        ("{", "is no JSON"),
        (tmp_path / "none.yaml", "not readable"),
    ):
        with pytest.raises(PipelineError, match=told):
            Pipeline.from_config(wrong)


def test_pipelines_share_a_context(text: Path, tmp_path: Path) -> None:
    context = Context(num_cores=2, num_streams=2)
    mood = Pipeline.create("glue", model_path=text, context=context)
    names = Pipeline.create("ner", tiny.token_classification(tmp_path), context=context)
    alone = Pipeline.create("glue", model_path=text)(["good", "bad"] * 20)
    with ThreadPoolExecutor(4) as pool:
        moods = [pool.submit(mood, ["good", "bad"] * 20) for _ in range(4)]
        found = [pool.submit(names, "dolly") for _ in range(4)]
        assert all(future.result() == alone for future in moods)
        assert all(future.result().predictions[0][0].entity == "B-PER" for future in found)


def test_more_items_than_a_server_takes_are_answered(text: Path) -> None:
    assert len(Pipeline.create("glue", model_path=text)(["good"] * 1500).labels) == 1500


def test_a_picture_may_be_a_path_an_array_or_pillows(pictures: Path, tmp_path: Path) -> None:
    picture = Image.new("RGB", (9, 7), (200, 10, 30))
    picture.save(tmp_path / "red.png")
    pipeline = Pipeline.create("image_classification", model_path=pictures, top_k=2)
    pixels = np.array(picture)
    one = pipeline(picture)
    assert one.labels == [0, 2] and len(one.scores) == 2
    several = [picture, str(tmp_path / "red.png"), tmp_path / "red.png", pixels, pixels.tolist()]
    output = pipeline(images=[*several, pixels.transpose(2, 0, 1)])
    assert output.labels == [[0, 2]] * 6
    assert all(scores == one.scores for scores in output.scores)


def test_scores_of_pictures_are_the_graphs_own(pictures: Path) -> None:
    pipeline = Pipeline.create(
        "image_classification", pictures, class_names={"0": "r", 1: "g", 2: "b"}
    )
    red = np.full((2, 3, 4, 4), [[[[2]], [[1]], [[0]]]], np.float32)  # as the graph takes it
    assert pipeline(images=red).labels == [["r"], ["r"]]
    assert pipeline(images=red).scores == [[2.0], [2.0]]
    white = np.full((1, 3, 4, 4), 255, np.uint8)
    assert pipeline(images=white).scores == pytest.approx([(1 - 0.406) / 0.225])


def test_pictures_that_cannot_be_read_are_named(pictures: Path, tmp_path: Path) -> None:
    pipeline = Pipeline.create("image_classification", pictures)
    with pytest.raises(InvalidInput, match=r"none\.png is not readable"):
        pipeline(images=str(tmp_path / "none.png"))
    (tmp_path / "bad.png").write_bytes(b"x" * 20)
    with pytest.raises(InvalidImage, match="not a picture"):
        pipeline(images=[tmp_path / "bad.png"])
    with pytest.raises(InvalidInput, match=r"shape \[4, 4\]; expected \[height, width, 3\]"):
        pipeline(images=[np.zeros((4, 4))])
    with pytest.raises(PipelineError, match="'class_names' has no name for class 1"):
        Pipeline.create("image_classification", pictures, class_names=["red"])
