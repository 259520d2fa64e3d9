"""Engines side by side on the same inputs: each in a process of its own, with rounds that take
turns.

    python -m scripts.benchmark --engine onnxferry@build/models/my-model --engine
    pipeline@path/to/hf-model \\
        --against pipeline --text "I like you. I love you" --copies 128 --batch 128

This file imports nothing: workers run it with interpreters that hold an engine's library and little
else.
"""
