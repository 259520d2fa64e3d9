"""Train the GoEmotions LoRA adapter that lies beside this file: 28 emotions, multi-label, on
all-MiniLM-L6-v2.

Kept so that anyone can see where the demo's adapter comes from, and make it again:

    python -m examples.goemotions.train --base MINILM_DIR --data DATA_DIR --out
    examples/goemotions/adapter

DATA_DIR holds the data set's train.tsv, dev.tsv, test.tsv (text, label indices, id) and labels.txt.

The base model's pooler was never trained (sentence-transformers pools by the mean), so it is
trained here in full, beside the LoRA matrices. The classifier's bias starts at the labels' log
odds: from zero, the first hundred steps push all 28 labels down, and a high learning rate never
brings the rare ones back.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from examples.training import batches, pad

THRESHOLD = 0.3  # the one of the data set's own paper (arXiv:2005.00547)


def read(path: Path, labels: int) -> tuple[list[str], np.ndarray]:
    """The texts and their [n, labels] float32 multi-hot targets."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line]
    targets = np.zeros((len(rows), labels), np.float32)
    for i, row in enumerate(rows):
        targets[i, [int(k) for k in row[1].split(",")]] = 1
    return [row[0] for row in rows], targets


@torch.no_grad()
def macro_f1(model: torch.nn.Module, ids: list[list[int]], targets: np.ndarray) -> float:
    """The mean over the labels of F1 = 2TP / (2TP + FP + FN) at THRESHOLD."""
    model.eval()
    probs = np.zeros_like(targets)
    order = sorted(range(len(ids)), key=lambda k: len(ids[k]))
    for i in range(0, len(order), 128):
        rows = order[i : i + 128]
        x = pad([ids[r] for r in rows])
        probs[rows] = torch.sigmoid(
            model(input_ids=x, attention_mask=(x != 0).long()).logits.float()
        ).numpy()
    model.train()
    said = probs > THRESHOLD
    tp, fp, fn = (
        (said & (targets == 1)).sum(0),
        (said & (targets == 0)).sum(0),
        (~said & (targets == 1)).sum(0),
    )
    return float(np.mean(2 * tp / np.maximum(2 * tp + fp + fn, 1)))


def build(
    base: Path, labels: list[str], odds: np.ndarray, args: argparse.Namespace
) -> torch.nn.Module:
    names = dict(enumerate(labels))
    model = AutoModelForSequenceClassification.from_pretrained(
        base,
        num_labels=len(labels),
        id2label=names,
        label2id={v: k for k, v in names.items()},
        problem_type="multi_label_classification",
    )
    model.classifier.bias.data = torch.tensor(odds)
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=args.rank,
        lora_alpha=2 * args.rank,
        lora_dropout=0.05,
        target_modules=r".*encoder.*\.(query|key|value|dense)",
        modules_to_save=["pooler", "classifier"],
    )
    return get_peft_model(model, lora)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--base", type=Path, required=True)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--rank", type=int, default=32)
    p.add_argument("--rate", type=float, default=5e-4)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument(
        "--seconds",
        type=float,
        default=math.inf,
        help="stop early; the learning rate decays to then",
    )
    p.add_argument("--max-length", type=int, default=64, help="tokens")
    args = p.parse_args()
    torch.manual_seed(0)
    rng = random.Random(0)  # noqa: S311

    labels = (args.data / "labels.txt").read_text().split()
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    data = {}
    for part in ("train", "dev", "test"):
        texts, targets = read(args.data / f"{part}.tsv", len(labels))
        data[part] = (
            tokenizer(texts, truncation=True, max_length=args.max_length)["input_ids"],
            targets,
        )
    ids, targets = data["train"]
    share = targets.mean(0)
    model = build(args.base, labels, np.log(share / (1 - share)), args)
    model.print_trainable_parameters()

    trained = [q for q in model.parameters() if q.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.01)
    loss_of = torch.nn.BCEWithLogitsLoss(reduction="none")
    total = args.epochs * math.ceil(len(ids) / args.batch)
    began, step = time.monotonic(), 0
    model.train()
    for epoch in range(args.epochs):
        for rows in batches([len(i) for i in ids], args.batch, rng):
            done = max(step / total, (time.monotonic() - began) / args.seconds)
            if done >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = args.rate * min(1, (step + 1) / 200) * (1 - done)
            x = pad([ids[r] for r in rows])
            logits = model(input_ids=x, attention_mask=(x != 0).long()).logits
            loss = loss_of(logits, torch.tensor(targets[rows])).sum(1).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
            if step % 200 == 0:
                took = time.monotonic() - began
                f1 = (
                    f" dev macro-F1 {macro_f1(model, *data['dev']):.4f}" if step % 1000 == 0 else ""
                )
                print(
                    f"epoch {epoch} step {step}/{total} {took:.0f} s loss {loss.item():.3f}{f1}",
                    flush=True,
                )
    scores = {part: round(macro_f1(model, *data[part]), 4) for part in ("dev", "test")}
    model.eval()
    model.half().save_pretrained(args.out)
    took = round(time.monotonic() - began)
    print(json.dumps({"macro_f1": scores, "threshold": THRESHOLD, "steps": step, "seconds": took}))


if __name__ == "__main__":
    main()
