"""Make a model directory for the task in rerank.py from one that scripts.prepare made for
text-classification:

python -m examples.custom_task.pack models/cross-encoder models/reranker
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from onnxferry import scoring
from onnxferry.scoring.manifest import MODEL_FILE, SPEC_FILE, TOKENIZER_FILE, Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.system.hashes import sha256

TASK = Path(__file__).with_name("rerank.py")
TEXT_SETTINGS = ("max_length", "pad_token_id", "pad_token_type_id")
GOLDEN = {
    "query": "how is bread made",
    "documents": ["The moon is full today.", "Knead flour, water and yeast, and bake the dough."],
}


def pack(source: Path, out: Path) -> Path:
    """Copy `source`'s graph and tokenizer to the new folder `out`, beside the task's file and a
    spec that names it.

    The golden answer is the new model directory's own.
    """
    out.mkdir(parents=True)
    for file in [*source.glob(f"{MODEL_FILE}*"), source / TOKENIZER_FILE, TASK]:
        shutil.copyfile(file, out / file.name)
    before = ModelSpec.read(source)
    settings = {key: before.settings[key] for key in TEXT_SETTINGS if key in before.settings}
    spec = replace(
        before,
        name=out.name,
        task=f"file:{TASK.name}:Rerank",
        settings={**settings, "needs": ["tokenizers"]},
        labels=(),
        golden=None,
        files={file.name: sha256(file) for file in sorted(out.iterdir())},
    )
    (out / SPEC_FILE).write_text(spec.to_json(), encoding="utf-8")
    request = Request(json.dumps({"inputs": GOLDEN}).encode())
    response = scoring.load(out).handle(request)
    if response.status != 200:
        raise SystemExit(f"the task does not answer its golden request: {response.body.decode()}")
    golden = Golden(request, json.loads(response.body))
    (out / SPEC_FILE).write_text(replace(spec, golden=golden).to_json(), encoding="utf-8")
    return out


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    print(pack(Path(sys.argv[1]), Path(sys.argv[2])))
