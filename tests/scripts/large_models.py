"""Models beyond 2 GB in float32, with random weights.

python -m tests.scripts.large_models build/xlm-r-large
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import transformers

from tests.scripts import checkpoints


def bert(folder: Path, words: int = 250_002, layers: int = 24) -> Path:
    """An embedding model with the sizes of XLM-R large and bge-m3: 2.2 GB, of which 1.0 are the
    words."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=words,
        hidden_size=1024,
        num_hidden_layers=layers,
        num_attention_heads=16,
        initializer_range=0.05,
        intermediate_size=4096,
        max_position_embeddings=514,
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return checkpoints.tokenizer(folder)


if __name__ == "__main__":
    bert(Path(sys.argv[1]))
