"""Engines side by side on the same inputs, each in a process of its own, taking turns in rounds.

    python -m scripts.benchmark -e onnxferry@build/models/my-model -e pipeline@path/to/hf-model \\
        --baseline pipeline --text "I like you. I love you" --copies 128 --batch 128

This file imports nothing, since workers run it with other interpreters.
"""
