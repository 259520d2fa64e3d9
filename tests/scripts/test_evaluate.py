"""Quality by the published metrics, of what is served and of transformers' pipeline over the source
model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from onnxferry.scoring.limits import Limits
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts import sections
from onnxferry.scripts.datasets import Item, read
from onnxferry.scripts.evaluate import Evaluation, EvaluationOptions, evaluate
from onnxferry.scripts.evaluate.__main__ import command as main
from onnxferry.scripts.evaluate.evaluation import Agreement, agreement
from onnxferry.scripts.metrics import definitions as metrics
from onnxferry.scripts.metrics.agreement import AGREE
from onnxferry.scripts.metrics.task_metrics import TASK_METRICS
from onnxferry.scripts.prepare import prepare
from onnxferry.system.errors import EvaluationError, UsageError
from tests import tiny
from tests.scripts import checkpoints

OLDER = Version(transformers.__version__).major < 5
GONE = "transformers 5 has neither SQuAD's metrics nor the question-answering pipeline"
WORDS = st.text(st.sampled_from("ab The. an!'é "), max_size=12)


@pytest.mark.toolchain
@pytest.mark.skipif(not OLDER, reason=GONE)
@given(WORDS, WORDS)
def test_squad_figures_are_those_of_transformers_own_metrics(answer: str, right: str) -> None:
    from transformers.data.metrics import squad_metrics

    assert metrics.normalise(answer) == squad_metrics.normalize_answer(answer)
    assert metrics.exact(answer, right) == squad_metrics.compute_exact(right, answer)
    assert metrics.overlap(answer, right, empty=True) == pytest.approx(
        squad_metrics.compute_f1(right, answer)
    )


def test_squad_takes_the_best_of_the_right_answers() -> None:
    found = metrics.squad(
        ["The middle name", "1946"], [["a name", "middle name"], ["born in 1946"]]
    )
    assert found == {"exact match": 50, "F1": pytest.approx(75)}
    # as the official script of v1.1 has it
    assert metrics.squad(["."], [["the"]]) == {"exact match": 100, "F1": 0}


def test_squad_2_also_counts_the_questions_without_an_answer() -> None:
    found = metrics.squad2(["", "x", "Rebecca"], [["", "the"], [""], ["Rebecca"]])
    assert found["exact match"] == pytest.approx(200 / 3)
    assert (found["F1 (answerable)"], found["F1 (unanswerable)"]) == (100, 50)


def test_labels_figures_by_hand() -> None:
    found = metrics.labels(
        [{"joy"}, {"joy", "anger"}, set()], [{"joy"}, {"anger"}, {"fear"}], ("joy", "anger", "fear")
    )
    assert found["macro-F1"] == pytest.approx(100 * (2 / 3 + 1 + 0) / 3)
    assert found["micro-F1"] == pytest.approx(100 * 2 * 2 / (3 + 3))
    assert found["subset accuracy"] == pytest.approx(100 / 3)
    assert metrics.classes(["a", "b"], ["a", "a"], ("a", "b", "c")) == {
        "accuracy": 50,
        "macro-F1": pytest.approx(100 / 3),
    }


def test_an_entity_is_right_by_its_type_and_span() -> None:
    found = metrics.entities(
        [{("PER", 0, 5), ("LOC", 9, 12)}, set()], [{("PER", 0, 5), ("PER", 9, 12)}, {("LOC", 0, 2)}]
    )
    assert found == {"precision": 50, "recall": pytest.approx(100 / 3), "F1": pytest.approx(40)}


def test_rankings_count_among_the_first_ten() -> None:
    # the first right document is third; both are among the first two; none is among the first ten
    orders = [(3, 1, 0, 2), (2, 0, 1), (*range(11), 11)]
    found = metrics.ranking(orders, [{0}, {0, 2}, {11}])
    assert found["MRR@10"] == pytest.approx(100 * (1 / 3 + 1 + 0) / 3)
    assert found["NDCG@10"] == pytest.approx(100 * (1 / np.log2(4) + 1 + 0) / 3)


def test_correlations_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    given, right = [0.1, 0.5, 0.5, 0.9, 0.2], [1, 3, 2, 5, 1]
    assert metrics.correlations(given, right) == {
        "Pearson": pytest.approx(100 * stats.pearsonr(given, right)[0]),
        "Spearman": pytest.approx(100 * stats.spearmanr(given, right)[0]),
    }
    assert metrics.correlations([1, 1], [1, 2]) == {"Pearson": 0, "Spearman": 0}


@pytest.mark.parametrize(("left", "share"), [(0, 1), (5, 1 / 3), (10, 0), (40, 0)])
def test_boxes_overlap_by_intersection_over_union(left: int, share: float) -> None:
    first = {"xmin": 0, "ymin": 0, "xmax": 10, "ymax": 4}
    other = {"xmin": left, "ymin": 0, "xmax": left + 10, "ymax": 4}
    assert metrics.iou(first, other) == pytest.approx(share)
    point = dict.fromkeys(first, 3)
    assert (metrics.iou(point, point), metrics.iou(point, first)) == (1, 0)


def test_objects_agree_by_label_and_box() -> None:
    def thing(label: str, score: float, left: int) -> dict[str, Any]:
        box = {"xmin": left, "ymin": 0, "xmax": left + 10, "ymax": 10}
        return {"label": label, "score": score, "box": box}

    agree = AGREE["object-detection"]
    shown, faint = [thing("cat", 0.9, 0), thing("dog", 0.8, 50)], [thing("cat", 0.2, 0)]
    assert agree(shown, [thing("dog", 0.82, 51), thing("cat", 0.9, 0)], 2)
    assert not agree(shown, shown[:1], 2)
    assert not agree(shown[:1], shown, 2)
    assert not agree(shown, [thing("cat", 0.9, 5), shown[1]], 2)
    assert agree([*shown, *faint], shown, 2)  # which nobody sees by default
    assert not agree(faint, [thing("dog", 0.2, 0)], 2)  # but the likeliest counts
    assert agree([], [], 2)


def test_ranked_documents_agree_by_the_best() -> None:
    agree = AGREE["text-ranking"]
    first = [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}]
    assert agree(first, [{"index": 1, "score": 0.7}, {"index": 0, "score": 0.6}], 0)
    assert agree(first, [{"index": 0, "score": 0.5}, {"index": 1, "score": 0.5}], 0)
    assert not agree(first, first[::-1][:1], 0)
    assert AGREE["sentence-similarity"]([0.5, -1.0], [0.52, -1.02], 0)
    assert not AGREE["sentence-similarity"]([0.5, 1.0], [0.5, 0.9], 0)


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def squad(path: Path, version: str = "1.1", **more: Any) -> Path:
    right = [{"text": "Rebecca", "answer_start": 6}, {"text": "Rebecca Parton", "answer_start": 6}]
    qas = [{"id": "1", "question": tiny.QUESTION["question"], "answers": right}]
    if more:
        qas.append({"id": "2", "question": "Who sings", "answers": [], **more})
    paragraphs = [{"context": tiny.QUESTION["context"], "qas": qas}]
    return write(path, {"version": version, "data": [{"title": "Dolly", "paragraphs": paragraphs}]})


NAMES = ("bad", "good")


@pytest.mark.parametrize(
    ("name", "content", "right"),
    [
        ("goemotions.tsv", "great day\t1\tid7\nmixed\t0,1\tid8\n", [("good",), ("bad", "good")]),
        ("sst2.tsv", "sentence\tlabel\ngreat day \t1\n", [("good",)]),
        ("own.tsv", "label\ttext\nbad\tawful\n", [("bad",)]),
        (
            "own.jsonl",
            '{"inputs": "great", "answer": "good"}\n\n{"inputs": "x", "answer": ["bad"]}',
            [("good",), ("bad",)],
        ),
    ],
)
def test_classified_texts_are_read_as_they_are_published(
    tmp_path: Path, name: str, content: str, right: list[tuple[str, ...]]
) -> None:
    assert [
        item.references
        for item in read(write(tmp_path / name, content), "text-classification", NAMES)
    ] == right


def test_numbers_pairs_and_rankings_are_read(tmp_path: Path) -> None:
    scored = write(tmp_path / "scored.tsv", "great day\t4.5\nawful\t0\n")
    items = read(scored, "text-classification", ("rating",))
    assert [item.references for item in items] == [("4.5",), ("rating",)]
    spec = ModelSpec("m", "text-classification", {"problem_type": "regression"}, ("rating",))
    metric = TASK_METRICS[spec.task](spec, items, 0.5)
    assert metric.compute([4.0, 1.0], items)["Pearson"] == pytest.approx(100)  # the index 0 is 0

    pairs = write(tmp_path / "sts.tsv", "a day\tgood day\t3.2\n")
    inputs = {"source_sentence": "a day", "sentences": ["good day"]}
    assert read(pairs, "sentence-similarity", ()) == [Item(inputs, (3.2,))]
    ranked = {"inputs": {"query": "a", "documents": ["b", "c"]}, "answer": [1]}
    rankings = write(tmp_path / "ranked.jsonl", json.dumps(ranked))
    assert read(rankings, "text-ranking", ()) == [Item(ranked["inputs"], (1,))]


def test_columns_of_tokens_become_texts_and_entities(tmp_path: Path) -> None:
    content = (
        "-DOCSTART- -X- O\n\nDolly NNP B-PER\nParton NNP I-PER\nin IN O\nParis NNP I-LOC\nLyon NNP"
        " B-LOC\n\nBye UH O"
    )
    items = read(write(tmp_path / "eng.conll", content), "token-classification", ())
    assert items == [
        Item("Dolly Parton in Paris Lyon", (("PER", 0, 12), ("LOC", 16, 21), ("LOC", 22, 26))),
        Item("Bye", ()),
    ]


@pytest.mark.parametrize(
    ("task", "name", "content", "names"),
    [
        ("text-classification", "a.tsv", "text\t7\n", "label '7' is neither"),
        ("text-classification", "a.tsv", "no label\n", "not a text-classification set"),
        ("text-classification", "a.csv", "", "give a file that ends in .tsv or .jsonl"),
        ("question-answering", "a.json", "[]", "expected a JSON object, got list"),
        ("question-answering", "a.jsonl", "", "holds no items"),
        ("sentence-similarity", "a.tsv", "a\tb\n", "line 1 must be two sentences and a number"),
        ("text-ranking", "a.jsonl", '{"inputs": {}, "answer": "b"}', "the places of the right doc"),
        (
            "tensors",
            "a.json",
            "{}",
            "no metric for task 'tensors'; there is one for question-answering",
        ),
    ],
)
def test_a_set_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, task: str, name: str, content: str, names: str
) -> None:
    with pytest.raises(UsageError, match=names):
        read(write(tmp_path / name, content), task, NAMES)


def test_what_is_served_is_measured_without_a_source_model_too(tmp_path: Path) -> None:
    model = tiny.question_answering(tmp_path / "model")
    found = evaluate(EvaluationOptions(model, squad(tmp_path / "squad.json")))
    assert {name: figure.core for name, figure in found.figures.items()} == {
        "exact match": 100,
        "F1": 100,
    }
    assert (found.items, found.agreement) == (1, None)


def test_questions_without_an_answer_are_asked_as_such(tmp_path: Path) -> None:
    found = evaluate(
        EvaluationOptions(
            tiny.question_answering(tmp_path / "m"), squad(tmp_path / "s.json", is_impossible=True)
        )
    )
    assert set(found.figures) > {"F1 (answerable)", "F1 (unanswerable)"}


def test_a_list_that_is_too_large_for_one_request_is_sent_as_several(tmp_path: Path) -> None:
    limits = Limits(body_bytes=300, items=64)
    model = tiny.text_classification(tmp_path / "m", limits=limits)
    data = write(tmp_path / "d.tsv", "great good day\t1\n" * 50)
    assert evaluate(EvaluationOptions(model, data)).figures["accuracy"].core == 100


def test_an_item_that_is_refused_is_an_error_with_the_cores_message(tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", '{"inputs": "", "answer": "good"}')
    with pytest.raises(EvaluationError, match=r"refuses an item with 400: 'inputs\[0\]' is empty"):
        evaluate(EvaluationOptions(tiny.text_classification(tmp_path / "m"), data))


TEXTS = (
    "What a great day!",
    "she was not born in 1946",
    "awful, very bad.",
    "the middle name of Dolly",
    "good",
)


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Evaluation]:
    """A tiny random BERT with an adapter-free source: evaluated through the core and through the
    pipeline."""
    folder = tmp_path_factory.mktemp("classified")
    source = checkpoints.bert(folder / "source", "text-classification")
    prepare(checkpoints.as_exported(str(source), folder / "model"))
    data = write(folder / "test.tsv", "".join(f"{text}\t{i % 3}\n" for i, text in enumerate(TEXTS)))
    return lambda **more: evaluate(EvaluationOptions(folder / "model", data, source, **more))


@pytest.mark.toolchain
def test_the_core_and_the_pipeline_give_the_same_figures(
    classified: Callable[..., Evaluation],
) -> None:
    found = classified()
    assert all(figure.difference == 0 for figure in found.figures.values())
    assert found.agreement is not None
    assert (found.agreement.same, found.agreement.differing) == (len(TEXTS), ())
    assert found.agreement.largest < 1e-5
    assert set(found.versions) == {"onnxruntime", "transformers", "torch"}
    assert classified(limit=2).items == 2


def test_answers_that_differ_are_told_with_both_sides() -> None:
    theirs = [
        {"answer": "a", "start": 0, "end": 1, "score": 0.5},
        {"answer": "b", "start": 4, "end": 5, "score": 0.25},
    ]
    ours = [theirs[0] | {"score": 0.75}, theirs[1] | {"start": 2, "end": 3}]
    judge = TASK_METRICS["question-answering"](ModelSpec("x", "question-answering"), [], 0.5)
    assert agreement(judge, ours, theirs) == Agreement(
        1, 0.25, 0.0, ({"item": 1, "core": ours[1], "transformers": theirs[1]},)
    )


@pytest.mark.toolchain
@pytest.mark.skipif(not OLDER, reason=GONE)
def test_questions_go_to_the_pipeline_with_the_same_parameters(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "source", "question-answering")
    prepare(checkpoints.as_exported(str(source), tmp_path / "model"))
    versions: tuple[dict[str, Any], ...] = ({}, {"is_impossible": True})
    for more in versions:
        found = evaluate(
            EvaluationOptions(tmp_path / "model", squad(tmp_path / "s.json", **more), source)
        )
        assert found.agreement is not None
        assert found.agreement.differing == ()


@pytest.mark.skipif(OLDER, reason="transformers 4 has the pipeline")
def test_a_task_that_is_not_compared_is_told(tmp_path: Path) -> None:
    folder = tiny.text_ranking(tmp_path / "ranker")
    row = {"inputs": {"query": "a day", "documents": ["bad", "good"]}, "answer": [1]}
    data = write(tmp_path / "dev.jsonl", json.dumps(row))
    assert evaluate(EvaluationOptions(folder, data)).figures["MRR@10"].core == 100
    with pytest.raises(UsageError, match="text-ranking is not compared with"):
        evaluate(EvaluationOptions(folder, data, source=tmp_path))


def test_a_pipeline_that_transformers_no_longer_has_is_told(tmp_path: Path) -> None:
    model = tiny.question_answering(tmp_path / "model")
    options = EvaluationOptions(model, squad(tmp_path / "s.json"), tmp_path)
    with pytest.raises(UsageError, match=r"--source: transformers 5\S+ has no question-answering"):
        evaluate(options)


def test_the_command_writes_its_section_and_renews_it(tmp_path: Path) -> None:
    model = tiny.question_answering(tmp_path / "model")
    tiny.write_spec(model, replace(ModelSpec.read(model), precision="int8"))
    out = write(tmp_path / "quality.md", "# Quality\n\nBy hand.\n")
    for version in ("1.1", "1.2"):
        data = squad(tmp_path / "squad.json", version)
        done = CliRunner().invoke(
            main, ["--model", str(model), "--data", str(data), "--out", str(out)]
        )
        assert done.exit_code == 0, done.output
    text = out.read_text()
    assert text.startswith(
        "# Quality\n\nBy hand.\n\n<!-- tiny-qa on squad.json -->\n## tiny-qa on squad.json\n"
    )
    assert text.count("| exact match | 100.000 |") == 1
    assert "python -m scripts.evaluate --model model" in text
    assert "question-answering, int8 for any CPU" in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("option", ["--max-difference", "--within"])
def test_a_metric_that_is_too_far_from_the_pipelines_fails(tmp_path: Path, option: str) -> None:
    """The former name of the option is accepted, and not shown."""
    model, data = tiny.question_answering(tmp_path / "model"), squad(tmp_path / "squad.json")
    asked = ["--model", str(model), "--data", str(data), option, "0.1"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 1
    assert "--max-difference compares with the source model" in done.output
    assert "--within" not in CliRunner().invoke(main, ["--help"]).output


def test_a_folder_that_is_no_model_is_refused_by_the_command(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        main, ["--model", str(tmp_path), "--data", str(squad(tmp_path / "squad.json"))]
    )
    assert done.exit_code == 2
    assert "no model_spec.json" in done.output


def test_a_section_keeps_its_place_among_others(tmp_path: Path) -> None:
    path = tmp_path / "doc.md"
    for name, text in (("a", "one"), ("b", "two"), ("a", r"three \1")):
        sections.replace(path, name, text)
    assert (
        path.read_text()
        == "<!-- a -->\nthree \\1\n<!-- end of a -->\n\n<!-- b -->\ntwo\n<!-- end of b -->\n"
    )
