"""sentence-transformers folders: what is served is what the library gives for the same texts."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from onnxferry.scripts.prepare import prepare
from onnxferry.scripts.prepare.sources.huggingface.embeddings_reference import TorchRecipe
from onnxferry.scripts.prepare.sources.settings import sentence_transformers
from onnxferry.system.errors import PrepareError
from tests.scripts import checkpoints
from tests.scripts.sentence_folders import (
    DECODERS,
    TEXTS,
    ask,
    changed,
    decoder,
    library,
    modules,
    saved,
    served,
    source,
    version,
)

pytestmark = [pytest.mark.toolchain, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.bert(tmp_path_factory.mktemp("bert") / "base", "feature-extraction")


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.roberta(tmp_path_factory.mktemp("roberta") / "base", "feature-extraction")


def same(ours: Any, theirs: Any) -> None:
    """Shapes are equal, and numbers to 1e-5."""
    assert np.shape(ours) == np.shape(theirs)
    assert np.abs(np.asarray(ours) - np.asarray(theirs)).max() < 1e-5


ORDER = ("lasttoken", "max", "cls", "weightedmean", "mean_sqrt_len_tokens", "mean")


def pooling(*modes: str) -> Any:
    """The library's module; its older versions take several by flags, in an order of their own."""
    if len(modes) == 1:
        return modules.Pooling(32, pooling_mode=modes[0])
    try:
        return modules.Pooling(32, pooling_mode=modes)
    except AttributeError:
        names = {m: f"pooling_mode_{m}_token{'' if m == 'cls' else 's'}" for m in modes}
        names |= {m: f"pooling_mode_{m}" for m in modes if m.endswith(("token", "tokens"))}
        return modules.Pooling(32, **dict.fromkeys(names.values(), True))


def test_every_pooling_is_the_librarys(bert: Path, tmp_path: Path) -> None:
    folder = saved(bert, tmp_path / "st", pooling(*ORDER))
    ours, theirs = served(source(folder), tmp_path / "out"), library(folder)
    same(ask(ours, TEXTS), theirs.encode(TEXTS))
    for mode in ORDER:
        theirs[1] = pooling(mode)
        same(ask(ours, TEXTS, pooling=mode), theirs.encode(TEXTS))


def test_modules_after_the_pooling_are_part_of_the_graph(bert: Path, tmp_path: Path) -> None:
    torch.manual_seed(2)
    layers = [
        modules.Dense(32 * len(ORDER), 32, activation_function=torch.nn.GELU()),
        modules.Dense(32, 24),
        modules.LayerNorm(24),
        modules.Dense(24, 12, bias=False, activation_function=torch.nn.Identity()),
    ]
    folder = saved(bert, tmp_path / "st", pooling(*ORDER), *layers, modules.Normalize())
    found = source(folder)
    assert found.settings["normalize"] is True
    theirs = library(folder).encode(TEXTS)
    ours = served(found, tmp_path / "out")
    same(ask(ours, TEXTS), theirs)
    same([ask(ours, text) for text in TEXTS], theirs)
    direct = found.run
    assert direct is not None
    ids = np.array([[2, 5, 6, 3]])
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    assert direct(feeds, ["sentence_embedding"])[0].shape == (1, 12)


def test_vectors_may_be_of_length_one_before_the_last_layer(bert: Path, tmp_path: Path) -> None:
    after = [pooling("mean"), modules.Normalize(), modules.Dense(32, 8)]
    folder = saved(bert, tmp_path / "st", *after)
    ours = served(source(folder), tmp_path / "out")
    same(ask(ours, TEXTS), library(folder).encode(TEXTS))


def test_older_weights_of_a_layer_are_read_as_numbers_alone(bert: Path, tmp_path: Path) -> None:
    folder = saved(bert, tmp_path / "st", pooling("mean"), modules.Dense(32, 8))
    [weights] = folder.glob("2_Dense/model.safetensors")
    from safetensors.torch import load_file

    expected = library(folder).encode(TEXTS)
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    same(ask(served(source(folder), tmp_path / "out"), TEXTS), expected)


PROMPTS = {"query": "what is ", "passage": "the day: "}


@pytest.mark.parametrize(("include", "dense"), [(True, False), (False, False), (False, True)])
def test_prompts_are_put_before_texts(
    bert: Path, tmp_path: Path, include: bool, dense: bool
) -> None:
    pool = modules.Pooling(32, pooling_mode="mean", include_prompt=include)
    after = [pool, modules.Dense(32, 8)] if dense else [pool]
    options = {"prompts": PROMPTS, "default_prompt_name": "passage"}
    folder = saved(bert, tmp_path / "st", *after, **options)
    ours, theirs = served(source(folder), tmp_path / "out"), library(folder)
    short = [text for text in TEXTS if len(text) < 200]
    same(ask(ours, TEXTS), theirs.encode(TEXTS))
    same(ask(ours, short, prompt_name="query"), theirs.encode(short, prompt_name="query"))
    same(ask(ours, short, prompt_name="document"), theirs.encode(short, prompt_name="document"))
    same(ask(ours, short, prompt="she: "), theirs.encode(short, prompt="she: "))
    plain, prompted = ask(ours, short, prompt=""), ask(ours, short)
    assert np.abs(np.subtract(plain, prompted)).max() > 1e-3


def test_dimensions_are_cut_and_made_length_one_again(bert: Path, tmp_path: Path) -> None:
    """By the request, else as the folder says."""
    folder = saved(bert, tmp_path / "st", pooling("mean"), modules.Normalize())
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "truncate_dim": 6}))
    ours, theirs = served(source(folder), tmp_path / "out"), library(folder)
    for size, sent in ((6, {}), (8, {"dimensions": 8})):
        expected = theirs.encode(TEXTS, truncate_dim=size, normalize_embeddings=True)
        same(ask(ours, TEXTS, **sent), expected)


def test_upper_case_is_as_lower_case_where_the_folder_says_so(
    roberta: Path, tmp_path: Path
) -> None:
    folder = saved(roberta, tmp_path / "st", pooling("mean"))
    (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    ours = served(source(folder), tmp_path / "out")
    same(ask(ours, TEXTS), library(folder).encode(TEXTS))
    upper, lower = ask(ours, ["Rebecca SINGS", "rebecca sings"])
    assert upper == lower


def test_white_space_around_a_text_counts_as_in_the_version_that_saved_the_folder(
    roberta: Path, tmp_path: Path
) -> None:
    folder = saved(roberta, tmp_path / "st", pooling("mean"))
    found = source(version(folder, "5.1.2"))
    older = served(found, tmp_path / "older")
    spaced, plain = ask(older, [" good day\n", "good day"])
    assert spaced == plain
    newer = served(source(version(folder, "6.2.0")), tmp_path / "newer")
    spaced, plain = ask(newer, [" good day\n", "good day"])
    assert spaced != plain
    library_now = library(folder)
    strips = np.array_equal(*library_now.encode([" good day\n", "good day"]))
    same(ask(older if strips else newer, [" good day\n"]), library_now.encode([" good day\n"]))


def test_the_length_is_read_under_every_name(bert: Path, tmp_path: Path) -> None:
    folder = saved(bert, tmp_path / "st", pooling("mean"))
    path = folder / "sentence_bert_config.json"
    for name in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"):
        path.unlink()
        path = folder / f"sentence_{name}_config.json"
        path.write_text('{"max_seq_length": 16}')
        assert sentence_transformers.read(folder).settings["max_length"] == 16
    found = source(folder)
    assert found.settings["max_length"] == 16
    same(ask(served(found, tmp_path / "out"), TEXTS), library(folder).encode(TEXTS))


def test_a_length_beyond_the_models_positions_is_theirs(bert: Path, tmp_path: Path) -> None:
    folder = saved(bert, tmp_path / "st", pooling("mean"))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 512}')
    found = source(folder)
    assert found.settings["max_length"] == 128
    long = "good day " * 100
    shorter = library(folder)
    shorter.max_seq_length = 128
    same(ask(served(found, tmp_path / "out"), [long]), shorter.encode([long]))


def test_the_end_of_a_text_is_read_where_the_tokenizer_says_so(bert: Path, tmp_path: Path) -> None:
    folder = saved(bert, tmp_path / "st", pooling("mean"))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "truncation_side": "left"}))
    long = ["good day " * 70 + "she sings in the middle"]
    theirs = library(folder).encode(long)
    ours = served(source(folder), tmp_path / "out")
    same(ask(ours, long), theirs)
    assert np.abs(np.subtract(ask(ours, long, truncation_direction="right"), theirs)).max() > 1e-3


def test_an_older_layout_has_its_model_below(bert: Path, tmp_path: Path) -> None:
    folder = saved(bert, tmp_path / "st", pooling("mean"))
    expected = library(folder).encode(TEXTS)
    below = folder / "0_Transformer"
    below.mkdir()
    for path in folder.glob("*"):
        if path.is_file() and path.name not in ("modules.json", "README.md"):
            path.rename(below / path.name)
    (below / "config_sentence_transformers.json").unlink()
    path = folder / "modules.json"
    listed = json.loads(path.read_text())
    listed[0]["path"] = "0_Transformer"
    path.write_text(json.dumps(listed))
    same(ask(served(source(folder), tmp_path / "out"), TEXTS), expected)


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_is_pooled_at_its_last_token(tmp_path: Path, family: str) -> None:
    """Its tokenizer pads on the left, and ends each text with a token; batches here are padded on
    the right, which no token sees."""
    base = decoder(tmp_path / "base", family)
    after = [pooling("lasttoken"), modules.Normalize()]
    folder = saved(base, tmp_path / "st", *after, prompts={"query": "Instruct: find.\nQuery: "})
    found = source(folder)
    assert found.settings["max_length"] == 64
    ours, theirs = served(found, tmp_path / "out"), library(folder)
    alone = [theirs.encode([text])[0] for text in TEXTS]  # GPT-2's positions count padding
    same(ask(ours, TEXTS), alone)
    assert ask(ours, TEXTS) == [ask(ours, text) for text in TEXTS]
    if family != "gpt2":
        same(ask(ours, TEXTS), theirs.encode(TEXTS))
    prompted = [theirs.encode([text], prompt_name="query")[0] for text in TEXTS]
    same(ask(ours, TEXTS, prompt_name="query"), prompted)
    assert found.settings["padding_side"] == "right"
    same(ask(changed(tmp_path / "out", padding_side="left"), TEXTS), alone)


def figures(folder: Path, out: Path, **options: Any) -> dict[str, Any]:
    """What prepare records of the comparison from text to answer."""
    spec = prepare(checkpoints.as_exported(str(folder), out, **options))
    found: dict[str, Any] = spec.provenance["difference"]["pipeline"]
    return found


def test_prepare_compares_what_is_served_with_the_library(bert: Path, tmp_path: Path) -> None:
    after = [pooling("mean"), modules.Dense(32, 8), modules.Normalize()]
    options = {"prompts": PROMPTS, "default_prompt_name": "query"}
    folder = saved(bert, tmp_path / "st", *after, **options)
    found = figures(folder, tmp_path / "out")
    assert found["inputs"] >= 12
    assert found["max_abs"] < 1e-5
    assert found["agreement"] == 1
    assert "sentence_transformers" in sys.modules


def test_without_the_library_its_recipe_is_compared(
    roberta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = modules.Pooling(32, pooling_mode="mean", include_prompt=False)
    options = {"prompts": PROMPTS, "default_prompt_name": "query"}
    folder = version(saved(roberta, tmp_path / "st", pool, **options), "5.1.2")
    (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    found = source(folder).pipeline
    assert found is not None
    ours = served(source(folder), tmp_path / "out")
    asked: list[tuple[str, dict[str, str]]] = [(text, {}) for text in TEXTS]
    asked += [(" Good day\n", {"prompt_name": "passage"})]
    for text, parameters in asked:
        same(ask(ours, text, **parameters), found()(text, parameters))
    assert isinstance(found(), TorchRecipe)


def test_vectors_of_tokens_are_compared_too(bert: Path, tmp_path: Path) -> None:
    found = figures(bert, tmp_path / "out")
    assert found["inputs"] >= 12
    assert found["max_abs"] < 1e-5


def test_what_is_not_the_librarys_answer_is_refused(bert: Path, tmp_path: Path) -> None:
    """As if a setting of the folder had been overlooked."""
    folder = saved(bert, tmp_path / "st", pooling("mean"), prompts=PROMPTS)
    loaded = source(folder)
    wrong = replace(loaded, settings={**loaded.settings, "pooling": "cls"})
    options = checkpoints.as_exported(str(folder), tmp_path / "out")
    with pytest.raises(PrepareError, match="what is served is not what"):
        prepare(options, source=wrong)


@pytest.mark.parametrize("name", ["cosine", "manhattan"])
def test_sentences_are_as_alike_as_the_library_has_it(
    bert: Path, tmp_path: Path, name: str
) -> None:
    folder = saved(bert, tmp_path / "st", pooling("mean"), similarity_fn_name=name)
    found = source(folder, task="sentence-similarity")
    inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
    scores = ask(served(found, tmp_path / "out"), inputs)
    theirs = library(folder)
    vectors = theirs.encode(TEXTS)
    expected = theirs.similarity(vectors[:1], vectors[1:])[0]
    assert scores == pytest.approx(expected.tolist(), rel=1e-4)
    assert found.pipeline is not None
    assert found.pipeline()(inputs, {}) == pytest.approx(scores, rel=1e-4)


def test_code_of_a_models_own_is_told_and_not_run(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved(bert, tmp_path / "st", pooling("mean"))
    path = folder / "config.json"
    own = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": own}))
    (folder / "own.py").write_text("raise SystemExit('it was run')")
    found = source(folder)
    assert "(own.Model), which is never run: transformers' own bert" in capsys.readouterr().err
    same(ask(served(found, tmp_path / "out"), "good day"), library(folder).encode("good day"))
