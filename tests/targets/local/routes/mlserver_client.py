"""Asks a server at argv[1] as MLServer's users do, by its types and codecs and by `mlserver infer`,
in an environment of its own; prints JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, MetadataModelResponse

TEXTS = ["good day", "bad"]


def request(name: str) -> InferenceRequest:
    return InferenceRequest(inputs=[StringCodec.encode_input(name, TEXTS, use_bytes=False)])


def ask(url: str, body: str | None = None) -> str:
    sent = urllib.request.Request(
        url, body.encode() if body else None, {"Content-Type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(sent, timeout=60) as response:
        return str(response.read().decode())


def batch(url: str) -> list[str]:
    """What `mlserver infer` writes."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "in"), Path(folder, "out")
        given.write_text((request("text").model_dump_json() + "\n") * 3)
        program = Path(sys.executable).with_name("mlserver")
        flags = ("-u", url.removeprefix("http://"), "-m", "text", "-i", given, "-o", found)
        subprocess.run([program, "infer", *flags], check=True, timeout=60, capture_output=True)
        return found.read_text().splitlines()


def main(url: str) -> None:
    MetadataModelResponse.model_validate_json(ask(f"{url}/v2/models/text"))
    infer = f"{url}/v2/models/text/infer"
    own = InferenceResponse.model_validate_json(ask(infer, request("text").model_dump_json()))
    theirs = InferenceResponse.model_validate_json(
        ask(infer, request("array_inputs").model_dump_json())
    )
    lines = [InferenceResponse.model_validate_json(line) for line in batch(url)]
    found = {
        "labels": StringCodec.decode_output(own.outputs[0]),
        "pipeline": [json.loads(text) for text in StringCodec.decode_output(theirs.outputs[0])],
        "batch": [line.outputs[1].data.root for line in lines],
    }
    print(json.dumps(found))


main(sys.argv[1])
