"""The models that `make benchmark` measures, below build/benchmark.

    PEERS=FOLDER python -m examples.benchmark

PEERS holds the environments of examples/servers/environments.py, for Olive. But for minilm the
models have the sizes of the published ones and random, seeded weights: no speed depends on the
values, but for how many are zero, and no hub is needed. Their answers mean nothing, and int8
changes more of them than of a trained model's. A folder that is there is left as it is; model
directories are made again when `scripts.prepare` has changed.

    distilbert         28 labels: a Hugging Face folder with its ONNX export
    distilbert-int8    what the SageMaker tutorial makes of it
    distilbert-o3      optimum's best optimisation in float32 for CPUs
    distilbert-olive   Olive's export, fusions and dynamic int8
    bert-base          question answering, the same way
    bert-base-pruned   90 % of each linear weight is zero
    bert-base-pruned-int8    the same in int8, as DeepSparse runs it
    minilm             the trained all-MiniLM for embeddings, with its ONNX export
    served/NAME-int8, NAME-fp32    the model directories of scripts.prepare
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from optimum.onnxruntime import (
    ORTModelForQuestionAnswering,
    ORTModelForSequenceClassification,
    ORTOptimizer,
    ORTQuantizer,
)
from optimum.onnxruntime.configuration import AutoOptimizationConfig, AutoQuantizationConfig

from examples import models, sparse_int8
from onnxferry.scripts.prepare import Options
from onnxferry.system.console import stage

OUT = Path("build") / "benchmark"
OLIVE = ("OnnxConversion", "OrtTransformersOptimization", "OnnxDynamicQuantization")
_CPU = {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
ON_CPU: dict[str, Any] = {
    "systems": {"local": {"type": "LocalSystem", "accelerators": [_CPU]}},
    "host": "local",
    "target": "local",
    "no_artifacts": True,
}
TASKS = {"minilm": "feature-extraction"}  # where the folder does not tell
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


def distilbert_o3(folder: Path) -> None:
    """In float32: operators fused, and Gelu approximated."""
    optimizer = ORTOptimizer.from_pretrained(ready("distilbert"), file_names=["model.onnx"])
    optimizer.optimize(save_dir=folder, optimization_config=AutoOptimizationConfig.O3())
    _tokenizer(folder, transformers.DistilBertTokenizerFast)


def distilbert_olive(folder: Path) -> None:
    """By its own command, from the environment that PEERS holds. Not by `olive optimize --precision
    int8`, which asks for a data set from a hub."""
    if "PEERS" not in os.environ:
        sys.exit("set PEERS to the folder that examples.servers.environments made: Olive is there")
    folder.mkdir(parents=True)
    made = {"output_dir": str(folder.resolve()), "cache_dir": str(folder.resolve() / "cache")}
    source = {"type": "HfModel", "model_path": str(ready("distilbert").resolve())}
    steps = {name.lower(): {"type": name} for name in OLIVE}
    steps[OLIVE[1].lower()]["model_type"] = "bert"
    config = {"input_model": {**source, "task": "text-classification"}, "passes": steps, **made}
    (folder / "olive.json").write_text(json.dumps({**config, **ON_CPU}))
    olive = str(Path(os.environ["PEERS"], "sentence-transformers", "bin", "olive").resolve())
    run = [olive, "run", "--config", str(folder / "olive.json")]
    subprocess.run(run, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    shutil.rmtree(folder / "cache", ignore_errors=True)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(ready("distilbert") / name, folder)


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


def bert_pruned_int8(folder: Path) -> None:
    """That in int8."""
    source = ready("bert-base-pruned")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.onnx", "*.safetensors"))
    runs = list(sparse_int8.samples())
    sparse_int8.quantise(source / "model.onnx", folder / "model.onnx", runs)


def minilm(folder: Path) -> None:
    """As its package brings it, with optimum's export."""
    from optimum.exporters.onnx import main_export

    exported = folder.with_name(f"{folder.name}.exported")
    shutil.copytree(models.minilm(), folder)
    task = {"task": "feature-extraction", "library_name": "transformers"}
    main_export(str(models.minilm()), exported, **task)
    shutil.move(exported / "model.onnx", folder)
    shutil.rmtree(exported)


def _save(model: Any, folder: Path, tokenizer: Any) -> None:
    model.save_pretrained(folder)
    _tokenizer(folder, tokenizer)


def _tokenizer(folder: Path, kind: Any) -> None:
    """bert-base-uncased's vocabulary, with BERT's own length."""
    kind.from_pretrained(models.minilm(), model_max_length=512).save_pretrained(folder)


MODELS: dict[str, Callable[[Path], None]] = {
    "distilbert": distilbert,
    "distilbert-int8": distilbert_int8,
    "distilbert-o3": distilbert_o3,
    "distilbert-olive": distilbert_olive,
    "bert-base": bert,
    "bert-base-pruned": bert_pruned,
    "bert-base-pruned-int8": bert_pruned_int8,
    "minilm": minilm,
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


def served(name: str, precision: str = "int8") -> Path:
    """The model directory of a model, the fastest that scripts.prepare makes: the one place that
    calls it. Every answer may differ from the source's, for random weights decide nothing
    clearly."""
    source, out = ready(name), OUT / "served" / f"{name}-{precision}"
    given = {"precision": precision, "max_metric_drop": 1, "min_agreement": 0}
    options = Options(str(source), out, task=TASKS.get(name), **given)
    return models.ready(models.Example(out.name, options, source / "config.json"))


if __name__ == "__main__":
    for each in MODELS:
        ready(each)
    for each in ("distilbert", "bert-base", "minilm"):
        served(each)
    served("minilm", "fp32")
