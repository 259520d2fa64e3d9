"""Write the templates of this folder again.

python -m onnxferry.infra.templates.azure
"""

from __future__ import annotations

from onnxferry.infra.templates.azure.examples import texts

if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")
        print(path)
