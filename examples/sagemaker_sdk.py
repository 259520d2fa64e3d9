# %% [markdown]
"""A package of onnxferry with the SageMaker SDK, version 2. Read it as a notebook, cell by cell, or
run it:

    onnxferry package --target sagemaker
    python examples/sagemaker_sdk.py build/sagemaker/squad/model.tar.gz \
        --bucket my-bucket --role arn:aws:iam::123456789012:role/serving --request question.json

It asks two endpoints, one after the other, and deletes each. For version 3: sagemaker_sdk_3.py.
"""

# %%
from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sagemaker.deserializers import JSONDeserializer
from sagemaker.huggingface import HuggingFaceModel
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import JSONSerializer
from sagemaker.session import Session

parser = argparse.ArgumentParser(description="Ask a package by the SageMaker SDK, version 2.")
parser.add_argument("archive", type=Path, help="model.tar.gz of onnxferry package")
parser.add_argument("--bucket", required=True, help="your bucket for it")
parser.add_argument("--role", required=True, help="ARN of a role that may read the bucket")
parser.add_argument("--request", type=Path, required=True, help="a request, as JSON")
parser.add_argument("--name", default="onnxferry-sdk", help="of the endpoints")
given = parser.parse_args()
request = json.loads(given.request.read_text(encoding="utf-8"))

# %% [markdown]
# The archive is model_data as it is: the SDK must not pack it anew, so give it no entry_point.

# %%
session = Session(default_bucket=given.bucket)
model_data = session.upload_data(str(given.archive), bucket=given.bucket, key_prefix="onnxferry")


# %%
@contextmanager
def served(model: Any, name: str) -> Iterator[Any]:
    """Deploy `model` as endpoint `name`; a predictor of it, which is deleted afterwards."""
    predictor = model.deploy(
        initial_instance_count=1,
        instance_type="ml.m5.large",
        endpoint_name=name,
        serializer=JSONSerializer(),
        deserializer=JSONDeserializer(),
    )
    try:
        yield predictor
    finally:
        predictor.delete_endpoint()
        model.delete_model()


# %% [markdown]
# HuggingFaceModel finds the container, which is the one that onnxferry packages and rehearses for.
# Without SAGEMAKER_PROGRAM it would tell the container that there is no code in the archive.

# %%
hugging_face = HuggingFaceModel(
    model_data=model_data,
    role=given.role,
    transformers_version="4.51.3",
    pytorch_version="2.6.0",
    py_version="py312",
    env={"SAGEMAKER_PROGRAM": "inference.py"},
    enable_network_isolation=True,  # the archive brings all that it needs
    sagemaker_session=session,
)
with served(hugging_face, given.name) as predictor:
    print("HuggingFaceModel:", json.dumps(predictor.predict(request)))
    image = hugging_face.serving_image_uri(session.boto_region_name, "ml.m5.large")

# %% [markdown]
# Model takes any image: this one, a copy of it in your registry, or one of a region of its own.

# %%
plain = Model(
    image_uri=image,
    model_data=model_data,
    role=given.role,
    predictor_cls=Predictor,
    env={"ONNXFERRY_ENGINE_THREADS": "2"},
    sagemaker_session=session,
)
with served(plain, f"{given.name}-plain") as predictor:
    print("Model:", json.dumps(predictor.predict(request)))
