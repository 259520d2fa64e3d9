"""Asks a server at argv[1] by the `kserve` client, in an environment of its own; prints JSON."""

from __future__ import annotations

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def main(url: str) -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
    texts = InferInput("text", [2], "BYTES")
    texts.set_data_from_numpy(np.array(["good day", "bad"], object), binary_data=True)
    x = InferInput("x", [1, 2], "FP32")
    x.set_data_from_numpy(np.array([[1.5, -2]], np.float32), binary_data=True)
    k = InferInput("k", [1, 1], "INT64")
    k.set_data_from_numpy(np.array([[3]], np.int64), binary_data=False)
    text = await client.infer(url, InferRequest("text", [texts]), model_name="text")
    numbers = await client.infer(url, InferRequest("tensors", [x, k]), model_name="tensors")
    found = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url) and await client.is_model_ready(url, "text"),
        "scores": next(o for o in text.outputs if o.name == "score").as_numpy().tolist(),
        "square": next(o for o in numbers.outputs if o.name == "square").as_numpy().tolist(),
    }
    print(json.dumps(found))


asyncio.run(main(sys.argv[1]))
