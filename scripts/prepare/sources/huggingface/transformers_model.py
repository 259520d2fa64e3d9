"""Hugging Face model folders: with its neighbours the only importer of transformers
and peft. No network, no remote code; of a pickle the numbers alone are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
from peft.utils import load_peft_weights
from safetensors import SafetensorError

from onnxferry.scoring.tokenization import Text
from onnxferry.scripts.prepare.sources.hub import model_files
from onnxferry.scripts.prepare.sources.huggingface.fast_tokenizers import (
    LOCAL,
    MAJOR,
    fast_tokenizer,
)
from onnxferry.scripts.prepare.sources.huggingface.pickled_weights import check_pickles
from onnxferry.scripts.prepare.sources.inspection.task_inference import HEADS
from onnxferry.scripts.prepare.sources.inspection.tokenizer_check import check_tokens
from onnxferry.scripts.prepare.sources.source import AskPipeline, TextTokenizer, prepare_errors
from onnxferry.system.errors import PrepareError

_PIPELINES = {"text-ranking": "text-classification"}  # transformers' name, where it is another
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, ImportError, RuntimeError, SafetensorError)
_UNUSED = {  # weights that the task's outputs do not depend on
    "feature-extraction": ("pooler.",),
    "sentence-similarity": ("pooler.",),
    "image-feature-extraction": ("pooler.",),  # which is then left out
}


def read_config(folder: Path) -> Any:
    """The transformers configuration of a folder."""
    what = f"{folder / 'config.json'}: not a configuration that transformers knows"
    with prepare_errors(what, *_UNREADABLE):
        return transformers.AutoConfig.from_pretrained(folder, **LOCAL)


def load(folder: Path, config: Any, task: str, adapter: Path | None) -> Any:
    """The model with the head of `task`, float32, in evaluation mode, `adapter` not yet merged.
    Raises PrepareError for a weight that neither has: it would be random."""
    model, missing = _load(folder, config, task)
    unused = _UNUSED.get(task, ())
    brought = set(adapter_config(adapter).modules_to_save or ()) if adapter else set()
    lost = [k for k in missing if not k.startswith(unused) and not brought & set(k.split("."))]
    if lost:
        advice = "Give a model trained for it, the --adapter with its head, or another --task"
        lacks = f"no trained weights for {', '.join(lost[:6])}, which {task} needs"
        raise PrepareError(f"{folder}: {lacks}. {advice}")
    if task == "image-feature-extraction" and any(name.startswith("pooler.") for name in missing):
        model.pooler = None  # it would be random
    return model.float().eval()


def _load(folder: Path, config: Any, task: str) -> tuple[Any, list[str]]:
    """The model, and the names of the weights that the folder lacks."""
    kind = getattr(transformers, HEADS[task])
    files = model_files.weights(model_files.listing(folder), ("",))
    check_pickles([folder / name for name in files])
    safe = any(name.endswith(".safetensors") for name in files)
    how = {"attn_implementation": "eager", "use_safetensors": safe, "dtype": "float32", **LOCAL}
    if not safe:
        how["weights_only"] = True
    with prepare_errors(f"{folder}: transformers cannot load it for {task}", *_UNREADABLE):
        model, info = kind.from_pretrained(folder, config=config, output_loading_info=True, **how)
    return model, sorted(info["missing_keys"])


def adapter_config(adapter: Path) -> Any:
    """The PEFT configuration of a folder."""
    what = f"--adapter {adapter}: not a PEFT adapter folder (adapter_config.json)"
    with prepare_errors(what, *_UNREADABLE):
        return PeftConfig.from_pretrained(str(adapter))


def merge(model: Any, adapter: Path) -> Any:
    """`model` with an adapter merged into its weights."""
    config = adapter_config(adapter)
    if config.is_prompt_learning:
        what = f"{config.peft_type.value} adds inputs, so it cannot be merged into weights"
        raise PrepareError(f"--adapter {adapter}: {what}")
    unfit = f"--adapter {adapter}: does not fit {type(model).__name__}"
    try:
        tuned = get_peft_model(model, config)
        result = set_peft_model_state_dict(tuned, load_peft_weights(str(adapter), device="cpu"))
    except _UNREADABLE as e:
        raise PrepareError(f"{unfit}: {e}{_hint(str(e))}") from e
    absent = [k for k in result.missing_keys if "lora_" in k or ".modules_to_save." in k]
    if odd := absent + list(result.unexpected_keys):
        such = f"{len(odd)} weight(s) have no counterpart, such as {', '.join(odd[:3])}"
        raise PrepareError(f"{unfit}: {such}. Was it trained on another base model?")
    return tuned.merge_and_unload().float().eval()


def _hint(message: str) -> str:
    head = "size mismatch" in message and ("classifier" in message or "score" in message)
    return "\nDoes --labels name as many labels as the adapter was trained with?" if head else ""


def read_tokenizer(folder: Path) -> TextTokenizer:
    """The fast tokenizer of a folder; padding and truncation are left to scoring."""
    tokenizer = fast_tokenizer(folder)
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    # a tokenizer.json alone names no special tokens: the usual ones are looked for
    vocabulary, pad, mask = backend.get_vocab(), tokenizer.pad_token_id, tokenizer.mask_token
    pad = vocabulary.get("[PAD]", vocabulary.get("<pad>")) if pad is None else pad
    mask = mask or next((token for token in ("[MASK]", "<mask>") if token in vocabulary), None)
    limit = tokenizer.model_max_length
    length = int(limit) if limit < 1_000_000 else None
    padding = (pad, tokenizer.pad_token_type_id, tokenizer.padding_side)
    spaces = bool(getattr(tokenizer, "clean_up_tokenization_spaces", False))
    inputs = tuple(tokenizer.model_input_names)
    split = bool(getattr(tokenizer, "split_special_tokens", False))
    reading = (tokenizer.truncation_side, split)
    made = TextTokenizer(backend.to_str(), length, *padding, mask, spaces, inputs, *reading)
    encode = lambda text: _ids(tokenizer, text)  # noqa: E731
    special = list(dict.fromkeys(tokenizer.all_special_tokens))
    check_tokens(folder, made, encode, special, tokenizer.init_kwargs)
    return made


def _ids(tokenizer: Any, text: Text) -> list[int]:
    texts = (text,) if isinstance(text, str) else text
    found: list[int] = tokenizer(*texts)["input_ids"]
    return found


def pipeline(model: Any, folder: Path, task: str, max_length: int) -> AskPipeline:
    """transformers' pipeline, with the tokenizer of `folder` cutting at `max_length` tokens."""
    tokenizer = fast_tokenizer(folder)
    tokenizer.model_max_length = max_length
    ask = transformers.pipeline(
        _PIPELINES.get(task, task), model=model, tokenizer=tokenizer, device="cpu"
    )
    return lambda inputs, parameters: ask(inputs, **parameters)


def image_pipeline(model: Any, folder: Path, task: str) -> AskPipeline:
    """transformers' pipeline, with the image processor of `folder`; pictures in base64."""
    ask = transformers.pipeline(
        task, model=model, image_processor=image_processor(folder), device="cpu"
    )
    return lambda inputs, parameters: ask(inputs, **parameters)


def image_processor(folder: Path) -> Any:
    """The image processor of a folder, by Pillow as in scoring: torchvision makes other pixels."""
    by_pillow = {"use_fast": False} if MAJOR < 5 else {"backend": "pil"}
    what = f"{folder}: no image processor that transformers can read"
    with prepare_errors(what, *_UNREADABLE):
        return transformers.AutoImageProcessor.from_pretrained(folder, **by_pillow, **LOCAL)
