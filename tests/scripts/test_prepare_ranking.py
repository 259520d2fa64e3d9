"""Cross-encoders and sentence similarity: tiny folders, as sentence-transformers saves them, become
model directories that answer as it does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from onnxferry import scoring
from onnxferry.scoring.tasks.sentence_similarity import SIMILARITIES
from onnxferry.scripts.prepare import prepare
from onnxferry.scripts.prepare.sources.inspection.task_inference import infer_task
from onnxferry.scripts.prepare.sources.settings.head_settings import head_settings
from onnxferry.system.errors import UsageError
from tests.architectures import sentence
from tests.scripts import checkpoints
from tests.scripts.checkpoints import as_exported

pytestmark = [pytest.mark.toolchain, pytest.mark.filterwarnings("ignore")]
QUERY = "who sings  in NASHVILLE "


def documents(count: int) -> list[str]:
    """Awkward ones, some longer than the model."""
    draw = random.Random(0)  # noqa: S311
    long = ["dolly parton was born in 1946 . " * 30, " the day\n"]
    return [sentence(draw, draw.choice([3, 20])) for _ in range(count)] + long


def ask(folder: Path, payload: Any) -> Any:
    response = scoring.load(folder).handle(scoring.Request(json.dumps(payload).encode()))
    assert response.status == 200, response.body
    return json.loads(response.body)


def scores_in_order(entries: Any) -> list[float]:
    return [entry["score"] for entry in sorted(entries, key=lambda e: e["index"])]


def saved(encoder: Any, folder: Path) -> Path:
    encoder.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize(
    ("kind", "activation"), [("bert", torch.nn.Sigmoid), ("roberta", torch.nn.Identity)]
)
def test_a_cross_encoder_ranks_as_sentence_transformers(
    tmp_path: Path, kind: str, activation: Callable[[], Any]
) -> None:
    from sentence_transformers import CrossEncoder

    made = checkpoints.cross_encoder(tmp_path / "made", kind)
    source = saved(CrossEncoder(str(made), activation_fn=activation()), tmp_path / "saved")
    encoder = CrossEncoder(str(source))
    spec = prepare(as_exported(str(source), tmp_path / "out"))
    assert spec.task == "text-ranking"
    assert spec.provenance["difference"]["pipeline"]["agreement"] == 1.0

    texts = documents(30)
    expected = encoder.predict([(QUERY, text) for text in texts], show_progress_bar=False)
    answer = ask(tmp_path / "out", {"inputs": {"query": QUERY, "documents": texts}})
    np.testing.assert_allclose(scores_in_order(answer), expected, atol=1e-5)
    ranked = encoder.rank(QUERY, texts, top_k=5, return_documents=True, show_progress_bar=False)
    parameters = {"top_k": 5, "return_documents": True}
    inputs = {"query": QUERY, "texts": texts}
    best = ask(tmp_path / "out", {"inputs": inputs, "parameters": parameters})
    assert [(e["index"], e["text"]) for e in best] == [(e["corpus_id"], e["text"]) for e in ranked]
    raw = ask(tmp_path / "out", {"query": QUERY, "texts": texts, "raw_scores": True})
    logits = encoder.predict(
        [(QUERY, text) for text in texts],
        activation_fn=torch.nn.Identity(),
        show_progress_bar=False,
    )
    np.testing.assert_allclose(scores_in_order(raw), logits, atol=1e-5)


IDENTITY = "torch.nn.modules.linear.Identity"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"sbert_ce_default_activation_function": IDENTITY}, "none"),
        ({"sentence_transformers": {"activation_fn": IDENTITY}}, "none"),
        ({}, "sigmoid"),
    ],
)
def test_the_activation_of_each_version(
    tmp_path: Path, config: dict[str, Any], expected: str
) -> None:
    ranker = transformers.BertConfig(num_labels=1, **config)
    ranker.architectures = ["BertForSequenceClassification"]
    told = "text-ranking" if config else "text-classification"
    assert infer_task(ranker.to_dict(), tmp_path, None) == told
    found = head_settings("text-ranking", tmp_path, ranker.to_dict())
    assert found == {"function_to_apply": expected}


def test_a_cross_encoder_that_classifies_is_a_text_classifier(tmp_path: Path) -> None:
    own = {"activation_fn": IDENTITY}
    config = transformers.BertConfig(num_labels=3, sentence_transformers=own)
    assert infer_task(config.to_dict(), tmp_path, None) == "text-classification"
    with pytest.raises(UsageError, match="gives 3 scores a pair; text-ranking needs one"):
        head_settings("text-ranking", tmp_path, config.to_dict())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"activation_fn": "torch.nn.modules.activation.Tanh"}, "activation .*Tanh is none of Sig"),
        ({"default_prompt_name": "query"}, "the prompt 'query' cannot be applied"),
    ],
)
def test_what_a_cross_encoder_does_besides_is_refused(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    source = checkpoints.cross_encoder(tmp_path / "source")
    own = {"model_type": "CrossEncoder", **files}
    (source / "config_sentence_transformers.json").write_text(json.dumps(own))
    with pytest.raises(UsageError, match=message):
        prepare(as_exported(str(source), tmp_path / "out"))


def test_sentences_are_as_alike_as_by_sentence_transformers(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer, models

    bert = checkpoints.bert(tmp_path / "bert", "feature-extraction")
    modules = [models.Transformer(str(bert)), models.Pooling(32, "mean")]
    model = SentenceTransformer(modules=modules, similarity_fn_name="euclidean")
    source = saved(model, tmp_path / "saved")
    spec = prepare(as_exported(str(source), tmp_path / "out", task="sentence-similarity"))
    assert (spec.settings["similarity"], spec.settings["pooling"]) == ("euclidean", "mean")

    texts = documents(30)
    vectors = model.encode([QUERY, *texts], show_progress_bar=False)
    expected = model.similarity(vectors[:1], vectors[1:])[0].numpy()
    inputs = {"source_sentence": QUERY, "sentences": texts}
    got = ask(tmp_path / "out", {"inputs": inputs})
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_a_plain_model_compares_by_the_cosine_of_means(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "feature-extraction")
    spec = prepare(as_exported(str(source), tmp_path / "out", task="sentence-similarity"))
    assert (spec.settings["similarity"], spec.settings["pooling"]) == ("cosine", "mean")


@pytest.mark.parametrize("name", SIMILARITIES)
def test_each_similarity_is_that_of_sentence_transformers(name: str) -> None:
    from sentence_transformers import SimilarityFunction

    draw = np.random.default_rng(0)
    one, others = draw.normal(size=8).astype("f"), draw.normal(size=(5, 8)).astype("f")
    theirs = SimilarityFunction.to_similarity_fn(name)(one[None], others)[0]
    np.testing.assert_allclose(SIMILARITIES[name](one, others), theirs, rtol=1e-5)
