"""JSON schemas of the bodies of the Open Inference Protocol v2, of OpenAI and of reranking."""

from __future__ import annotations

from collections.abc import Mapping

from onnxferry.scoring.openapi import schemas
from onnxferry.scoring.openapi.schemas import Schema, of
from onnxferry.targets.local.forms.tensor_wire import DTYPES

_TENSOR: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": list(DTYPES)},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "parameters": {"type": "object"},
        "data": {"type": "array"},
    },
    "required": ["name", "datatype", "shape"],
}
_CHOSEN: Schema = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
    "required": ["name"],
}
INFER: Schema = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": _TENSOR, "minItems": 1},
        "outputs": {"type": "array", "items": _CHOSEN},
    },
    "required": ["inputs"],
}
INFERRED: Schema = {
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "model_name": {"type": "string"},
                "model_version": {"type": "string"},
                "id": {"type": "string"},
                "outputs": {"type": "array", "items": _TENSOR},
            },
            "required": ["model_name", "outputs"],
        },
        {"type": "object", "description": "DeepSparse's answer to DeepSparse's request"},
    ]
}
EMBEDDINGS: Schema = {
    "type": "object",
    "properties": {
        "input": {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        },
        "model": {"type": "string"},
        "encoding_format": {"enum": ["float", "base64"]},
        "dimensions": {"type": "integer", "minimum": 1},
        "user": {"type": "string"},
    },
    "required": ["input"],
}
EMBEDDED: Schema = {
    "type": "object",
    "properties": {
        "object": {"const": "list"},
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "object": {"const": "embedding"},
                    "index": {"type": "integer"},
                    "embedding": {
                        "anyOf": [
                            {"type": "array", "items": {"type": "number"}},
                            {"type": "string", "description": "float32, little-endian, base64"},
                        ]
                    },
                },
                "required": ["object", "index", "embedding"],
            },
        },
        "model": {"type": "string"},
        "usage": of({"prompt_tokens": "long", "total_tokens": "long"}),
    },
    "required": ["object", "data", "model", "usage"],
}
_DOCUMENTS: Schema = {
    "type": "array",
    "items": {"anyOf": [{"type": "string"}, of({"text": "string"})]},
    "minItems": 1,
}
RERANK: Schema = {
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "query": {"type": "string"},
                "texts": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "raw_scores": {"type": "boolean"},
                "return_text": {"type": "boolean"},
                "truncate": {"type": "boolean"},
            },
            "required": ["query", "texts"],
        },
        {
            "type": "object",
            "properties": {
                "query": {"type": "string"},
                "documents": _DOCUMENTS,
                "top_n": {"type": "integer", "minimum": 1},
                "return_documents": {"type": "boolean"},
                "model": {"type": "string"},
            },
            "required": ["query", "documents"],
        },
    ]
}
ERRORS: Mapping[str, Schema] = {  # of each form
    "pipeline": schemas.ERROR,
    "v2": of({"error": "string"}),
    "vertex": of({"error": "string"}),
    "openai": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": "string"},
                },
                "required": ["message", "type", "param", "code"],
            }
        },
        "required": ["error"],
    },
}
