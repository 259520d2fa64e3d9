"""The models that `make benchmark` measures, below build/benchmark.

    python -m examples.benchmark

They have the sizes of the published ones and random, seeded weights: no speed depends on the
values, but for how many are zero, and no hub is needed. Their answers mean nothing, and int8
changes more of them than of a trained model's. A folder that is there is left as it is; model
directories are made again when `scripts.prepare` has changed.

    distilbert         28 labels: a Hugging Face folder with its ONNX export
    distilbert-int8    what the SageMaker tutorial makes of it
    bert-base          question answering, the same way
    bert-base-pruned   90 % of each linear weight is zero
    served/NAME-int8   the model directories of scripts.prepare
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from optimum.onnxruntime import (
    ORTModelForQuestionAnswering,
    ORTModelForSequenceClassification,
    ORTQuantizer,
)
from optimum.onnxruntime.configuration import AutoQuantizationConfig

from examples import models
from onnxferry.scripts.prepare import Options
from onnxferry.system.console import stage

OUT = Path("build") / "benchmark"
PRUNED = 0.9  # of each weight in the encoder's linear layers


def distilbert(folder: Path) -> None:
    """As the SageMaker tutorial has it: the GoEmotions labels, several of which may hold."""
    names = (models.HERE / "goemotions" / "labels.txt").read_text(encoding="utf-8").split()
    config = transformers.DistilBertConfig(
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
        problem_type="multi_label_classification",
    )
    transformers.set_seed(0)
    model = transformers.DistilBertForSequenceClassification(config)
    _save(model, folder, transformers.DistilBertTokenizerFast)
    ORTModelForSequenceClassification.from_pretrained(folder, export=True).save_pretrained(folder)


def distilbert_int8(folder: Path) -> None:
    """The tutorial's quantisation, by its own library and preset."""
    quantizer = ORTQuantizer.from_pretrained(ready("distilbert"), file_name="model.onnx")
    preset = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=False)
    quantizer.quantize(save_dir=folder, quantization_config=preset)
    _tokenizer(folder, transformers.DistilBertTokenizerFast)


def bert(folder: Path, change: Callable[[Any], None] = lambda model: None) -> None:
    """BERT-base for question answering, its weights changed by `change`."""
    transformers.set_seed(0)
    model = transformers.BertForQuestionAnswering(transformers.BertConfig())
    change(model)
    _save(model, folder, transformers.BertTokenizerFast)
    ORTModelForQuestionAnswering.from_pretrained(folder, export=True).save_pretrained(folder)


def bert_pruned(folder: Path) -> None:
    """The same with most weights zero."""
    bert(folder, prune)


def prune(model: Any) -> None:
    """Set the smallest PRUNED of each linear weight of the encoder to zero, in place."""
    for module in model.bert.encoder.modules():
        if isinstance(module, torch.nn.Linear):
            sizes = module.weight.detach().abs()
            least = sizes.flatten().kthvalue(int(PRUNED * sizes.numel())).values
            module.weight.data[sizes <= least] = 0


def _save(model: Any, folder: Path, tokenizer: Any) -> None:
    model.save_pretrained(folder)
    _tokenizer(folder, tokenizer)


def _tokenizer(folder: Path, kind: Any) -> None:
    """bert-base-uncased's vocabulary, with BERT's own length."""
    kind.from_pretrained(models.minilm(), model_max_length=512).save_pretrained(folder)


MODELS: dict[str, Callable[[Path], None]] = {
    "distilbert": distilbert,
    "distilbert-int8": distilbert_int8,
    "bert-base": bert,
    "bert-base-pruned": bert_pruned,
}


def ready(name: str) -> Path:
    """The model's folder, made now unless it is there. It has its name only when it is whole."""
    folder = OUT / name
    if not folder.is_dir():
        making = folder.with_name(f"{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        with stage(f"make {folder}"):
            making.parent.mkdir(parents=True, exist_ok=True)
            MODELS[name](making)
        making.rename(folder)
    return folder


def served(name: str) -> Path:
    """The model directory of a model in int8, the fastest that scripts.prepare makes: the one place
    that calls it. Every answer may differ from the source's, for these weights decide nothing
    clearly."""
    source, out = ready(name), OUT / "served" / f"{name}-int8"
    options = Options(str(source), out, precision="int8", max_metric_drop=1, min_agreement=0)
    return models.ready(models.Example(out.name, options, source / "config.json"))


if __name__ == "__main__":
    for each in MODELS:
        ready(each)
    for each in ("distilbert", "bert-base"):
        served(each)
