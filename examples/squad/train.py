"""Train the question-answering LoRA adapter that lies beside this file, on all-MiniLM-L6-v2.

Kept so that anyone can see how the demo's adapter was made, and make one again:

    python -m examples.squad.train --base MINILM_DIR --data SQUAD_TRAIN.json --out
    examples/squad/adapter --seconds 2500

SQUAD_TRAIN.json has the format of SQuAD v1.1. Questions whose sequence is over --max-length tokens
are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from examples.training import batches, pad


@dataclass(frozen=True)
class Feature:
    """Token ids and types of one question with its context, and the first and last token of the
    answer."""

    ids: list[int]
    types: list[int]
    start: int
    end: int


def read(path: Path) -> list[tuple[str, str, int, int]]:
    """(question, context, first character of the answer, end of the answer) of each question."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    rows = []
    for paragraph in (p for article in articles for p in article["paragraphs"]):
        for qa in paragraph["qas"]:
            answer = qa["answers"][0]
            start = answer["answer_start"]
            rows.append(
                (qa["question"].strip(), paragraph["context"], start, start + len(answer["text"]))
            )
    return rows


def features(
    rows: list[tuple[str, str, int, int]], tokenizer: Any, max_length: int
) -> list[Feature]:
    encoded = tokenizer([r[0] for r in rows], [r[1] for r in rows], return_offsets_mapping=True)
    made = []
    for i, (_, _, first, stop) in enumerate(rows):
        sides, offsets = encoded.sequence_ids(i), encoded["offset_mapping"][i]
        context = [k for k, side in enumerate(sides) if side == 1]
        start = next((k for k in context if offsets[k][0] <= first < offsets[k][1]), None)
        end = next((k for k in context if offsets[k][0] < stop <= offsets[k][1]), None)
        if start is not None and end is not None and len(sides) <= max_length:
            made.append(Feature(encoded["input_ids"][i], encoded["token_type_ids"][i], start, end))
    return made


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--base", type=Path, required=True)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--rank", type=int, default=32)
    p.add_argument("--rate", type=float, default=1.2e-3)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument(
        "--seconds",
        type=float,
        default=math.inf,
        help="stop early; the learning rate decays to then",
    )
    p.add_argument("--max-length", type=int, default=224, help="tokens")
    args = p.parse_args()
    torch.manual_seed(0)
    rng = random.Random(0)  # noqa: S311

    tokenizer = AutoTokenizer.from_pretrained(args.base)
    data = features(read(args.data), tokenizer, args.max_length)
    model = AutoModelForQuestionAnswering.from_pretrained(args.base)
    lora = LoraConfig(
        r=args.rank,
        lora_alpha=2 * args.rank,
        lora_dropout=0.05,
        target_modules=["query", "key", "value", "dense"],
        modules_to_save=["qa_outputs"],
    )
    model = get_peft_model(model, lora)
    trained = [q for q in model.parameters() if q.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.01)
    total = args.epochs * math.ceil(len(data) / args.batch)
    began, step = time.monotonic(), 0
    model.train()
    for _ in range(args.epochs):
        for rows in batches([len(f.ids) for f in data], args.batch, rng):
            done = max(step / total, (time.monotonic() - began) / args.seconds)
            if done >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = args.rate * min(1, (step + 1) / 30) * (1 - done)
            batch = [data[r] for r in rows]
            ids = pad([f.ids for f in batch])
            loss = model(
                input_ids=ids,
                attention_mask=(ids != 0).long(),
                token_type_ids=pad([f.types for f in batch]),
                start_positions=torch.tensor([f.start for f in batch]),
                end_positions=torch.tensor([f.end for f in batch]),
            ).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
            if step % 50 == 0:
                print(
                    f"step {step}/{total} {time.monotonic() - began:.0f} s loss {loss.item():.3f}",
                    flush=True,
                )
    model.eval()
    model.half().save_pretrained(args.out)
    print(
        json.dumps(
            {"questions": len(data), "steps": step, "seconds": round(time.monotonic() - began)}
        )
    )


if __name__ == "__main__":
    main()
