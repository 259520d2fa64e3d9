"""Every text task on a real transformer with random weights: under load its answers are the same
bytes as alone, in float32 and in static int8."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest

from onnxferry import scoring
from onnxferry.scoring import timing
from onnxferry.scoring.manifest import MODEL_FILE
from tests import tiny
from tests.scoring.test_determinism import EACH, FIRST, exported, prepared, small

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

VARIANTS = ("fp32-optimised", "int8-static-reduced")
HEADS = {"labels": 3, "score": 1, "tags": 4, "words": len(tiny.VOCABULARY), "spans": 2}
"""The outputs of one graph, with their last size; those of `labels` and `score` are of [CLS]."""


def classified(text: str) -> dict[str, Any]:
    return {"inputs": text, "parameters": {"top_k": 3}}


def words(text: str) -> list[str]:
    return text.split()


TASKS: dict[str, tuple[Any, dict[str, str], Any]] = {  # the model directory, its outputs, a request
    "text-classification": (tiny.text_classification, {"labels": "logits"}, classified),
    "text-ranking": (
        tiny.text_ranking,
        {"score": "logits"},
        lambda text: {"query": text, "texts": [text[::2] or text, "good day", text]},
    ),
    "zero-shot-classification": (
        tiny.zero_shot_classification,
        {"labels": "logits"},
        lambda text: {"inputs": text, "parameters": {"candidate_labels": words(text)[:3]}},
    ),
    "token-classification": (
        tiny.token_classification,
        {"tags": "logits"},
        lambda text: {"inputs": text, "parameters": {"ignore_labels": []}},
    ),
    "fill-mask": (
        tiny.fill_mask,
        {"words": "logits"},
        lambda text: {"inputs": f"{tiny.MASK} {text}"[:60]},
    ),
    "question-answering": (
        tiny.question_answering,
        {"start": "start_logits", "end": "end_logits"},
        lambda text: {"inputs": {"question": "what is the day", "context": text}},
    ),
    "feature-extraction": (
        tiny.feature_extraction,
        {"hidden": "last_hidden_state"},
        lambda text: {"inputs": text},
    ),
    "sentence-similarity": (
        tiny.sentence_similarity,
        {"hidden": "last_hidden_state"},
        lambda text: {"inputs": {"source_sentence": text, "sentences": words(text)[:3]}},
    ),
}


def heads(folder: Path) -> Path:
    """A small BERT with all HEADS, in a folder."""
    torch.manual_seed(0)

    class Heads(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.bert = transformers.BertModel(small(), add_pooling_layer=False)
            sizes = HEADS.items()
            self.head = torch.nn.ModuleDict({n: torch.nn.Linear(96, size) for n, size in sizes})

        def forward(self, ids: Any, mask: Any, types: Any) -> tuple[Any, ...]:
            hidden = self.bert(ids, mask, types).last_hidden_state
            first = {name: self.head[name](hidden[:, 0]) for name in ("labels", "score")}
            start, end = self.head["spans"](hidden).split(1, dim=-1)
            each = (self.head["tags"](hidden), self.head["words"](hidden))
            return (*first.values(), *each, start.squeeze(-1), end.squeeze(-1), hidden)

    each = dict.fromkeys(("tags", "words", "start", "end", "hidden"), EACH)
    return exported(Heads(), folder, {"labels": FIRST, "score": FIRST, **each})


@pytest.fixture(scope="module", params=VARIANTS)
def graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the graph of all heads."""
    root = tmp_path_factory.mktemp("heads")
    source = heads(root / "exported")
    return prepared(root / "made", source, request.param)


def model(task: str, graph: Path, folder: Path) -> Path:
    """A model directory of `task` whose graph has that task's outputs."""
    make, outputs, _ = TASKS[task]
    make(folder)
    full = onnx.load(graph / MODEL_FILE)
    kept = [output for output in full.graph.output if output.name in outputs]
    del full.graph.output[:]
    for output in kept:
        name = outputs[output.name]
        full.graph.node.append(onnx.helper.make_node("Identity", [output.name], [name]))
        output.name = name
        full.graph.output.append(output)
    onnx.save(full, str(folder / MODEL_FILE))
    return folder


def texts(count: int) -> list[str]:
    draw = random.Random(1)  # noqa: S311
    return [" ".join(draw.choices(tiny.WORDS, k=draw.randint(1, 7))) for _ in range(count)]


@pytest.mark.parametrize("task", TASKS)
def test_under_load_an_answer_is_the_same_bytes_as_alone(
    task: str, graph: Path, tmp_path: Path
) -> None:
    batches: list[int] = []

    def observe(metrics: timing.RequestMetrics, status: int, code: str | None) -> None:
        batches.append(metrics.batch)

    folder = model(task, graph, tmp_path / "model")
    few = {"ONNXFERRY_ENGINE_PARALLEL_RUNS": "1"}  # so that there is a queue on any host
    scorer = scoring.load(folder, few, observer=observe)
    bodies = [json.dumps(TASKS[task][2](text)).encode() for text in texts(60)]

    def ask(body: bytes) -> tuple[int, bytes]:
        response = scorer.handle(scoring.Request(body))
        return response.status, response.body

    alone = [ask(body) for body in bodies]
    most = max(batches)
    assert {status for status, _ in alone} == {200}, alone[0]
    batches.clear()
    with ThreadPoolExecutor(32) as threads:
        for _ in range(4):
            assert list(threads.map(ask, bodies)) == alone
    assert max(batches) > most, "no run was shared"
