"""Networks of the settings, with weights that depend on the seed alone."""

import torch
from torch import nn

from sundog.models.classifier import Classifier
from sundog.models.zoo import get_model


class FourConvolutions(nn.Module):
    """Four convolutions with batch norm, the mean over places, a linear layer (0.25 M weights)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width, stride in ((32, 1), (64, 2), (128, 2), (128, 2)):
            layers += [
                nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before = width
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(before, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return ``float[batch, classes]``."""
        return self.head(self.pool(self.features(images)).flatten(1))


NETWORKS = ("four-convolutions", "small-cnn")


def make_network(name: str, class_names: tuple[str, ...], *, size: int, seed: int) -> Classifier:
    """Return a new classifier."""
    if name == "four-convolutions":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = FourConvolutions(len(class_names))
        return get_model(module, class_names=class_names, input_size=size)
    made = get_model(name, classes=len(class_names), input_size=size, seed=seed)
    return made.with_class_names(class_names)
