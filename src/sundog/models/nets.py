"""Reference networks: small convolutional networks for the CPU, and a ResNet-18."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


class SmallCNN(nn.Module):
    """Three convolutions and a 4 x 4 grid of means, for images of 28 to 128 px.

    ``(conv 3x3, batch norm, ReLU, max-pool 2) x 2, conv 3x3, batch norm, ReLU, 4 x 4 means,
    linear``. The coarse grid keeps where things are, by which digits are told apart in a few
    epochs. Every activation is its own module, so that each layer can be named.

    Args:
        classes: number of outputs.
        channels: 3, or 1 for grey images.
        width: channels of the first convolution; the others have 2x and 4x.
    """

    def __init__(self, classes: int, *, channels: int = 3, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv(channels, width),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            _conv(width, 2 * width),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            _conv(2 * width, 4 * width),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
        )
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.head = nn.Linear(4 * width * 16, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``float[batch, classes]``."""
        return self.head(self.pool(self.features(images)).flatten(1))


class CNN5(nn.Module):
    """Five convolutions for photographs of about 112 px, quick to train on a CPU.

    ``conv 5x5 stride 2, (max-pool 2, conv 3x3) x 3, conv 3x3, mean, dropout, linear``; each
    convolution is followed by batch norm and ReLU.

    Args:
        classes: number of outputs.
        channels: 3, or 1 for grey images.
        width: channels of the first convolution.
        dropout: probability before the linear layer.
    """

    def __init__(
        self, classes: int, *, channels: int = 3, width: int = 32, dropout: float = 0.1
    ) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 6 * width, 8 * width)
        layers: list[nn.Module] = []
        before = channels
        for index, after in enumerate(widths):
            if 0 < index < 4:
                layers.append(nn.MaxPool2d(2))
            first = index == 0
            layers += [
                _conv(before, after, kernel=5 if first else 3, stride=2 if first else 1),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
            before = after
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``float[batch, classes]``."""
        return self.head(self.dropout(self.pool(self.features(images)).flatten(1)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; projected by a 1x1 convolution where shapes change."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, outputs, stride=stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2 = _conv(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                _conv(inputs, outputs, kernel=1, stride=stride), nn.BatchNorm2d(outputs)
            )
        self.relu2 = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Return ``relu(shortcut(x) + conv(relu(conv(x))))``."""
        shortcut = images if self.downsample is None else self.downsample(images)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(images)))))
        return self.relu2(out + shortcut)


class ResNet18(nn.Module):
    """The standard ResNet-18 with the usual parameter names, so that usual checkpoints load.

    Every module is called once per pass, which DeepLIFT and Grad-CAM need.

    Args:
        classes: number of outputs.
        channels: 3, or 1 for grey images.

    Source:
        He, Zhang, Ren & Sun, 2015, arXiv 1512.03385; initialisation He et al., 2015,
        arXiv 1502.01852 (fan-out).
    """

    def __init__(self, classes: int = 1000, *, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = _conv(channels, 64, kernel=7, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return ``float[batch, classes]``."""
        out = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        return self.fc(torch.flatten(self.avgpool(out), 1))
