"""The faster memory layout is used only where the network runs in it and says the same."""

import pytest
import torch
from torch import nn

from sundog.explain.attribute import attribute
from sundog.models.classifier import Classifier
from sundog.models.layout import fast_layout


class Viewed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4 * 36, 3)

    def forward(self, x):
        return self.head(self.conv(x).view(len(x), -1))


class Strided(Viewed):
    """Reads memory as it lies, so that another layout gives another answer without an error."""

    def forward(self, x):
        out = self.conv(x)
        return self.head(torch.as_strided(out, (len(x), 144), (144, 1)))


class Reshaped(Viewed):
    def forward(self, x):
        return self.head(self.conv(x).flatten(1))


@pytest.fixture
def images():
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_layouts(images):
    assert fast_layout(Classifier(Reshaped()), images) == torch.channels_last
    assert fast_layout(Classifier(Viewed()), images) == torch.contiguous_format
    assert fast_layout(Classifier(Strided()), images) == torch.contiguous_format
    assert fast_layout(Classifier(Reshaped()), images[:1]) == torch.contiguous_format
    assert fast_layout(Classifier(Reshaped()).double(), images.double()) == torch.contiguous_format
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    assert fast_layout(Classifier(flat), images) == torch.contiguous_format


@pytest.mark.parametrize("network", [Viewed, Strided, Reshaped])
@pytest.mark.parametrize(
    "name",
    [
        "gradient_norm",
        "integrated_gradients",
        "grad_cam",
        "layer_conductance",
        "occlusion",
        "neuron_conductance",
    ],
)
def test_maps_are_those_of_double_precision(images, network, name):
    given = {"n_steps": 3} if "integrated" in name or "conductance" in name else {}
    given |= {"layer": "conv"} if "cam" in name or "conductance" in name else {}
    given |= {"grid": 2} if name == "occlusion" else {}
    found = attribute(Classifier(network()), images, name, **given)
    exact = attribute(Classifier(network()).double(), images.double(), name, **given)
    assert exact.maps.abs().max() > 0
    torch.testing.assert_close(found.maps.double(), exact.maps, rtol=1e-4, atol=1e-5)
    assert found.maps.is_contiguous()
    assert found.forwards == exact.forwards  # the check of the layout is not counted
