"""The MLflow tutorial's model, as code that MLflow loads: transformers behind a loop over the rows
of a DataFrame. What `make batch` compares with; see examples/batch.py."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Tutorial(PythonModel):
    """`question` and `context` -> the answer, `text` -> the best label."""

    def load_context(self, context: Any) -> None:
        """Load the artifact `model`, a Hugging Face folder."""
        folder = context.artifacts["model"]
        config = transformers.AutoConfig.from_pretrained(folder)
        kind = getattr(transformers, config.architectures[0])
        self._model = kind.from_pretrained(folder).eval()
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[str]:
        """One text a row."""
        answer = self._label if "text" in model_input else self._answer
        return [answer(row) for _, row in model_input.iterrows()]

    def _answer(self, row: Any) -> str:
        ids, found = self._run(row["question"], row["context"])
        start, end = int(found.start_logits.argmax()), int(found.end_logits.argmax()) + 1
        return str(self._tokenizer.decode(ids[start:end]))

    def _label(self, row: Any) -> str:
        _, found = self._run(row["text"])
        return str(self._model.config.id2label[int(found.logits.argmax())])

    def _run(self, *texts: str) -> tuple[Any, Any]:
        inputs = self._tokenizer(*texts, truncation=True, return_tensors="pt")
        with torch.no_grad():
            return inputs["input_ids"][0], self._model(**inputs)


set_model(Tutorial())
