"""Writes what the question-answering pipeline answers, which only transformers 4 has:

.venv-4/bin/python -m tests.golden.make [NAME ...]
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import transformers
from peft import PeftModel
from tokenizers import Tokenizer

from examples.models import examples
from onnxferry.scripts.datasets.built_in import BUILT_IN
from onnxferry.system.library_output import silence_libraries
from tests import architectures, tiny, weights
from tests.architectures import FAMILIES
from tests.golden.questions import Case, GoldenAnswers
from tests.scripts import checkpoints

TASK, MADE_WITH = "question-answering", f"transformers {transformers.__version__}"
VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"top_k": 3, "doc_stride": 3},
    {"max_answer_len": 3},
    {"handle_impossible_answer": True},
    {"handle_impossible_answer": True, "top_k": 4},
    {"align_to_words": False},
    {"max_seq_len": 40, "doc_stride": 0},
)


def main() -> None:
    """The files named, or all."""
    makers: dict[str, Callable[[], GoldenAnswers]] = {
        name: partial(family, name) for name in FAMILIES
    }
    makers |= {"tiny": _tiny, "adapted": _adapted, "minilm-squad": _demo}
    with silence_libraries():
        for name in sys.argv[1:] or makers:
            makers[name]().write(name)


def ask(pipeline: Any, inputs: Any, parameters: dict[str, Any]) -> list[Any]:
    """One item at a time, the pipeline's default."""
    return [ranked(pipeline(**item, **parameters), parameters) for item in inputs]


def ranked(answer: Any, parameters: dict[str, Any]) -> Any:
    """The pipeline's answers without two of its oddities where top_k is more than a context has
    spans: it fills the list up with spans of score 0 that begin at [CLS], and gives a lone answer
    without the list."""
    if parameters.get("top_k", 1) == 1:
        return answer
    return [a for a in (answer if isinstance(answer, list) else [answer]) if a["score"] > 0]


def family(name: str, known: Any = None) -> GoldenAnswers:
    """Each variant of the parameters on its share of the inputs. Training a tokenizer does not make
    the same one twice, so `known` (tokenizer.json) is taken where it is given."""
    made = Tokenizer.from_str(json.dumps(known)) if known else FAMILIES[name].make()
    words, held = architectures.fast(name, made), json.loads(made.to_str())
    model = architectures.network(name, TASK, ())
    pipeline = _pipeline(weights.fill(model, architectures.SCALE), words)
    draw = architectures.generator(name)
    items = [
        {"question": architectures.sentence(draw, 3), "context": text}
        for text in architectures.sentences(name, words)
    ]
    # room for context and stride
    items = [i for i in items if 0 < architectures.size(words, i["question"]) < 24]
    shares = [(items[k :: len(VARIANTS)], variant) for k, variant in enumerate(VARIANTS)]
    cases = [Case(share, variant, ask(pipeline, share, variant)) for share, variant in shares]
    return GoldenAnswers(MADE_WITH, held, cases)


def _tiny() -> GoldenAnswers:
    with tempfile.TemporaryDirectory() as folder:
        source = weights.fill_files(checkpoints.bert(Path(folder) / "bert", TASK), 0.3)
        return _asked(transformers.pipeline(TASK, model=str(source)))


def _adapted() -> GoldenAnswers:
    with tempfile.TemporaryDirectory() as folder:
        bare = checkpoints.bert(Path(folder) / "base", "feature-extraction")
        base = weights.fill_files(bare, 0.3)
        adapter = checkpoints.adapter(base, Path(folder) / "adapter")
        return _asked(_merged(base, weights.fill_files(adapter, 0.3)))


def _demo() -> GoldenAnswers:
    options = next(e.options for e in examples() if e.options.task == TASK)
    assert options.adapter
    rows = (BUILT_IN / f"{TASK}.jsonl").read_text(encoding="utf-8").splitlines()
    items = [json.loads(row)["inputs"] for row in rows if row]
    pipeline = _merged(Path(options.source), options.adapter)
    return GoldenAnswers(MADE_WITH, None, [Case(items, {}, ask(pipeline, items, {}))])


def _asked(pipeline: Any) -> GoldenAnswers:
    item = tiny.QUESTION
    return GoldenAnswers(MADE_WITH, None, [Case([item], {}, ask(pipeline, [item], {}))])


def _merged(base: Path, adapter: Path) -> Any:
    head = transformers.AutoModelForQuestionAnswering.from_pretrained(base)
    tuned = PeftModel.from_pretrained(head, str(adapter)).merge_and_unload()
    return _pipeline(tuned, transformers.AutoTokenizer.from_pretrained(base))


def _pipeline(model: Any, words: Any) -> Any:
    return transformers.pipeline(TASK, model=model.eval(), tokenizer=words, device="cpu")


if __name__ == "__main__":
    main()
