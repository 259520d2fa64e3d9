# %% [markdown]
"""A package of onnxferry with the SageMaker SDK, version 3. Read it as a notebook, cell by cell, or
run it:

    onnxferry package --target sagemaker
    python examples/sagemaker_sdk_3.py build/sagemaker/squad/model.tar.gz \
        --bucket my-bucket --role arn:aws:iam::123456789012:role/serving --request question.json

It asks one endpoint, and deletes it. For version 2: sagemaker_sdk.py.
"""

# %%
from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

import boto3
from sagemaker.core import image_uris
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant

parser = argparse.ArgumentParser(description="Ask a package by the SageMaker SDK, version 3.")
parser.add_argument("archive", type=Path, help="model.tar.gz of onnxferry package")
parser.add_argument("--bucket", required=True, help="your bucket for it")
parser.add_argument("--role", required=True, help="ARN of a role that may read the bucket")
parser.add_argument("--request", type=Path, required=True, help="a request, as JSON")
parser.add_argument("--name", default="onnxferry-sdk-3", help="of the endpoint and its parts")
given = parser.parse_args()

# %%
key = f"onnxferry/{given.name}/model.tar.gz"
boto3.client("s3").upload_file(str(given.archive), given.bucket, key)

# %% [markdown]
# Version 3 has no HuggingFaceModel any more, and still knows its container.

# %%
image = image_uris.retrieve(
    "huggingface",
    boto3.Session().region_name,
    version="4.51.3",
    base_framework_version="pytorch2.6.0",
    py_version="py312",
    instance_type="ml.m5.large",
    image_scope="inference",
)

# %% [markdown]
# What was made is deleted in the end, last first, whatever happens in between.

# %%
with ExitStack() as made:
    model = Model.create(
        model_name=given.name,
        execution_role_arn=given.role,
        primary_container=ContainerDefinition(
            image=image, model_data_url=f"s3://{given.bucket}/{key}"
        ),
        enable_network_isolation=True,  # the archive brings all that it needs
    )
    made.callback(model.delete)
    config = EndpointConfig.create(
        endpoint_config_name=given.name,
        production_variants=[
            ProductionVariant(
                variant_name="AllTraffic",
                model_name=given.name,
                initial_instance_count=1,
                instance_type="ml.m5.large",
            )
        ],
    )
    made.callback(config.delete)
    endpoint = Endpoint.create(endpoint_name=given.name, endpoint_config_name=given.name)
    made.callback(endpoint.delete)
    endpoint.wait_for_status("InService")
    answer = endpoint.invoke(
        body=given.request.read_bytes(), content_type="application/json", accept="application/json"
    )
    print("Endpoint:", answer.body.read().decode())
