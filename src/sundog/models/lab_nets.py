"""The convolutional network of the MIT course's face lab, 64 px."""

from __future__ import annotations

from torch import Tensor, nn

LAB_SIZE = (64, 64)
"""(height, width) in pixels that the lab's networks are made for."""
_WIDTHS = (1, 2, 4, 6, 8)
_KERNELS = (5, 5, 3, 3, 3)


class LabCNN(nn.Module):
    """Five convolutions with stride 2 and a hidden layer of 512, for images of 64 px.

    ``(conv, ReLU, batch norm) x 5, linear 512, ReLU, linear``; channels ``filters * (1, 2, 4, 6,
    8)``, kernels 5, 5, 3, 3, 3. Maps have 32, 16, 8, 4 and 2 pixels a side. Weights start as in
    Keras (Glorot uniform, biases 0). Where the lab's ``same`` padding puts the odd pixel at the
    right and bottom, this one pads both sides alike.

    Args:
        classes: number of outputs; 1 is the lab's own single logit (``output="binary_logit"``).
        channels: 3, or 1 for grey images.
        filters: channels of the first convolution.

    Source:
        Amini, Soleimany, Schwarting, Bhatia & Rus, 2019, AIES, "Uncovering and Mitigating
        Algorithmic Bias through Learned Latent Structure"; MIT 6.S191, the face lab of 2023.
    """

    def __init__(self, classes: int = 1, *, channels: int = 3, filters: int = 12) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for width, kernel in zip(_WIDTHS, _KERNELS, strict=True):
            after = width * filters
            layers += [
                nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2),
                nn.ReLU(),
                nn.BatchNorm2d(after),
            ]
            before = after
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(before * 2 * 2, 512)
        self.relu = nn.ReLU()
        self.head = nn.Linear(512, classes)
        start_as_keras(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``float[batch, classes]``."""
        return self.head(self.relu(self.hidden(self.features(images).flatten(1))))


def start_as_keras(network: nn.Module) -> None:
    """Give every convolution and linear layer Glorot-uniform weights and biases of 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
