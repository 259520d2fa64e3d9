"""--data: the gate is a loss of the task's own metric, on a user's evaluation set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxferry.scripts import datasets
from onnxferry.scripts.datasets import Item
from onnxferry.scripts.metrics.task_metrics import TASK_METRICS
from onnxferry.scripts.prepare import Options, prepare
from onnxferry.scripts.prepare.selection.criteria import AcceptanceCriteria
from onnxferry.scripts.prepare.variants.variant import Variant
from onnxferry.scripts.prepare.verification import eval_set
from onnxferry.scripts.prepare.verification.eval_set import EvalAnswers, EvalSet
from onnxferry.system.errors import UsageError
from tests import tiny
from tests.scripts import checkpoints, fake_variants
from tests.scripts.checkpoints import CPU

TEXTS = (
    "What a great day!",
    "she was not born in 1946",
    "awful, very bad.",
    "the middle name of Dolly",
    "good",
)


def squad(folder: Path) -> Path:
    qas = [
        {
            "id": "1",
            "question": tiny.QUESTION["question"],
            "answers": [{"text": "Rebecca", "answer_start": 6}],
        }
    ]
    data = {
        "version": "1.1",
        "data": [{"paragraphs": [{"context": tiny.QUESTION["context"], "qas": 3 * qas}]}],
    }
    return write(folder / "dev.json", json.dumps(data))


def labelled(folder: Path) -> Path:
    return write(folder / "dev.tsv", "".join(f"{text}\t{i % 3}\n" for i, text in enumerate(TEXTS)))


def tagged(folder: Path) -> Path:
    return write(folder / "dev.conll", "Dolly B-PER\nParton I-PER\nwas O\nborn O\n\nparis B-LOC\n")


def embedded(folder: Path) -> Path:
    return write(folder / "dev.txt", "\n".join(TEXTS))


def pictured(folder: Path) -> Path:
    for i, label in enumerate(checkpoints.LABELS):
        (folder / "pictures" / label).mkdir(parents=True)
        Image.new("RGB", (40, 30), (80 * i, 200, 30)).save(folder / "pictures" / label / "a.png")
        (folder / "pictures" / label / "notes.txt").touch()
    return folder / "pictures"


def ranked(folder: Path) -> Path:
    rows = [
        {"inputs": {"query": text, "documents": list(TEXTS)}, "answer": [i]}
        for i, text in enumerate(TEXTS)
    ]
    return write(folder / "dev.jsonl", "\n".join(map(json.dumps, rows)))


def compared(folder: Path) -> Path:
    lines = [f"{text}\tgood day\t{i}" for i, text in enumerate(TEXTS)]
    return write(folder / "dev.tsv", "\n".join(lines))


SOURCES: dict[str, Callable[[Path, str], Path]] = {
    "image-classification": lambda folder, _: checkpoints.vit(folder),
    "text-ranking": lambda folder, _: checkpoints.cross_encoder(folder),
    "sentence-similarity": lambda folder, _: checkpoints.bert(folder, "feature-extraction"),
}


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("task", "data", "metrics"),
    [
        ("question-answering", squad, {"exact match", "F1"}),
        ("text-classification", labelled, {"accuracy", "macro-F1"}),
        ("token-classification", tagged, {"precision", "recall", "F1"}),
        ("feature-extraction", embedded, {"cosine"}),
        ("image-classification", pictured, {"top-1"}),
        ("text-ranking", ranked, {"MRR@10", "NDCG@10"}),
        ("sentence-similarity", compared, {"Pearson", "Spearman"}),
    ],
)
def test_each_task_has_its_metric(tmp_path: Path, task: str, data: Any, metrics: set[str]) -> None:
    source, path = SOURCES.get(task, checkpoints.bert)(tmp_path / "m", task), data(tmp_path)

    spec = prepare(
        Options(str(source), tmp_path / "out", task, data=path, variant="fp32-copy", limit=3),
        fake_variants.table(fake_variants.COPY),
    )

    exported, copied = spec.provenance["variants"]
    assert set(exported["metrics"]) == metrics
    assert copied["metrics"] == exported["metrics"]
    assert (copied["loss"], copied["status"]) == (0, "chosen")
    assert spec.provenance["data"]["items"] == min(3, spec.provenance["data"]["of"])
    assert len(spec.provenance["data"]["sha256"]) == 64
    report = (tmp_path / "out" / "report.md").read_text()
    assert (
        f"of {spec.provenance['data']['of']:,} items of {spec.provenance['data']['name']}" in report
    )


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = {"problem_type": "multi_label_classification"}
    return checkpoints.bert(
        tmp_path_factory.mktemp("moods") / "bert", "text-classification", **config
    )


def test_a_metric_that_falls_rejects_with_examples_from_the_set(
    moods: Path, tmp_path: Path
) -> None:
    """The right answers are the source model's own, so that each change is a loss."""
    tried = fake_variants.table(
        Variant("int8-damaged", "int8", "wrong scales", fake_variants.damaged)
    )
    prepare(Options(str(moods), tmp_path / "first", variant="fp32"), tried)
    data = write(
        tmp_path / "own.jsonl", "\n".join(json.dumps(row) for row in _answered(tmp_path / "first"))
    )

    spec = prepare(
        Options(str(moods), tmp_path / "out", data=data, cpu=CPU, min_agreement=0, threshold=0.4),
        tried,
    )

    row = spec.provenance["variants"][1]
    assert (row["status"], spec.provenance["data"]["threshold"]) == ("rejected", 0.4)
    assert "F1" in row["reason"]
    assert ": a drop of " in row["reason"]
    assert row["loss"] > 0.01
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| input | source model | int8-damaged |" in report
    assert "A label counts as given from a score of 0.4" in report
    assert "own.jsonl" in report
    assert not any(text in json.dumps(spec.provenance["variants"]) for text in TEXTS)


def _answered(folder: Path) -> list[dict[str, Any]]:
    from onnxferry import scoring

    body = json.dumps({"inputs": TEXTS, "parameters": {"top_k": None}}).encode()
    answers = json.loads(scoring.load(folder).handle(scoring.Request(body)).body)
    labels = [[row["label"] for row in answer if row["score"] >= 0.4] for answer in answers]
    return [
        {"inputs": text, "answer": given}
        for text, given in zip(TEXTS, labels, strict=True)
        if given
    ]


def test_a_task_without_a_metric_is_refused(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "fill-mask")
    with pytest.raises(
        UsageError, match="no metric for task 'fill-mask'; there is one for question-answering"
    ):
        prepare(
            Options(str(source), tmp_path / "out", data=labelled(tmp_path)), fake_variants.table()
        )


def test_a_set_that_names_other_labels_is_refused_by_the_label(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "text-classification")
    data = write(tmp_path / "dev.tsv", "good\tecstatic\n")
    with pytest.raises(UsageError, match="label 'ecstatic' is neither a label of the model"):
        prepare(Options(str(source), tmp_path / "out", data=data), fake_variants.table())


def asked(count: int, labels: tuple[str, ...] = ("bad", "good")) -> EvalSet:
    from onnxferry.scoring import ModelSpec

    items = tuple(Item("good day", (labels[i % 2],), f"line {i}") for i in range(count))
    return EvalSet(
        items,
        (),
        TASK_METRICS["text-classification"](
            ModelSpec("x", "text-classification", labels=labels), items, 0.5
        ),
        {},
    )


def test_what_is_hopeless_is_asked_only_in_part(tmp_path: Path) -> None:
    """A model that says 'good' to everything, against a source model that is always right."""
    model = tiny.text_classification(tmp_path / "m")
    given = asked(400)
    source = EvalAnswers(
        tuple(item.references[0] for item in given.items), {"accuracy": 100.0, "macro-F1": 100.0}
    )
    notes: list[str] = []

    found = given.ask(model, notes.append, source, AcceptanceCriteria().give_up_drop)

    assert (len(found.decisions), notes) == (100, ["100 of 400 items"])
    assert given.drop(found, source) > 0.25
    assert len(given.ask(model, notes.append).decisions) == 400


def test_changes_that_cost_a_right_answer_come_first() -> None:
    given = asked(4)
    source, found = (
        EvalAnswers(("bad", "bad", "bad", "bad"), {}),
        EvalAnswers(("bad", "good", "good", "bad"), {}),
    )
    assert [(c.input, c.expected, c.got) for c in given.changed(found, source)] == [
        ("line 2", "bad", "good"),
        ("line 1", "bad", "good"),
    ]


def test_every_part_of_the_set_is_spread_over_it_and_the_rest_is_spare(tmp_path: Path) -> None:
    from onnxferry.scoring import ModelSpec

    data = write(tmp_path / "d.tsv", "".join(f"text {i}\t{i % 2}\n" for i in range(100)))
    spec = ModelSpec("x", "text-classification", labels=("bad", "good"))

    found = eval_set.read(Options("m", tmp_path, data=data, limit=40), spec)

    assert found is not None
    numbers = [int(item.inputs.split()[1]) for item in found.items]
    assert len(set(numbers)) == 40
    assert numbers[:3] == [0, 10, 20]
    assert not set(numbers) & {int(item.inputs.split()[1]) for item in found.spare}
    assert eval_set.read(Options("m", tmp_path), spec) is None


def test_vectors_are_held_against_the_source_model_s() -> None:
    from onnxferry.scoring import ModelSpec

    items = (Item("a", ()), Item("b", ()))
    given = EvalSet(
        items,
        (),
        TASK_METRICS["feature-extraction"](ModelSpec("x", "feature-extraction"), items, 0.5),
        {},
    )
    source = EvalAnswers((np.array([1.0, 0]), np.array([0, 2.0])), {"cosine": 100.0})
    found = EvalAnswers(
        (np.array([3.0, 0]), np.array([1.0, 1.0])), {"cosine": 100 * (1 + 0.5**0.5) / 2}
    )

    assert given.drop(found, source) == pytest.approx((1 - 0.5**0.5) / 2)
    (change,) = given.changed(found, source)
    assert (change.input, change.got) == ("b", "one with cosine 0.707 to it")


def test_pictures_and_texts_are_read_as_items(tmp_path: Path) -> None:
    items = datasets.read(pictured(tmp_path), "image-classification", checkpoints.LABELS)
    assert [(item.where, item.references) for item in items] == [
        ("angry/a.png", ("angry",)),
        ("calm/a.png", ("calm",)),
        ("glad/a.png", ("glad",)),
    ]
    texts = datasets.read(
        write(tmp_path / "t.jsonl", '{"inputs": "one"}\n'), "feature-extraction", ()
    )
    assert texts == [Item("one", ())]
    with pytest.raises(
        UsageError, match="for image-classification give a folder with one subfolder a label"
    ):
        datasets.read(tmp_path / "t.jsonl", "image-classification", checkpoints.LABELS)
    with pytest.raises(
        UsageError, match=r"for text-classification give a file that ends in \.tsv or \.jsonl"
    ):
        datasets.read(tmp_path, "text-classification", checkpoints.LABELS)
