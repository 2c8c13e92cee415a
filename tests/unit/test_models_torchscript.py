"""TorchScript networks: frozen ones have no mode, and their memory is measured all the same."""

import pytest
import torch
from torch import nn

from sundog.core.errors import ModelStateError
from sundog.explain.bare_network import as_classifier
from sundog.explain.occlusion import occlusion
from sundog.models.budget import bytes_per_image
from sundog.models.classifier import Classifier

IMAGES = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 4),
    ).eval()


def scripted(net):
    with pytest.warns((DeprecationWarning, FutureWarning)):
        return torch.jit.script(net)


def frozen(net):
    script = scripted(net)
    with pytest.warns((DeprecationWarning, FutureWarning)):
        return torch.jit.freeze(script)


def test_a_frozen_module_is_in_eval_mode():
    net = network()
    script = frozen(net)
    assert not hasattr(script, "training")
    classifier = Classifier(nn.Identity())
    classifier.network = script
    classifier.require_eval()
    torch.testing.assert_close(classifier.predict(IMAGES), net(IMAGES).detach())
    classifier.training = True
    with pytest.raises(ModelStateError, match="1 modules in train mode"):
        classifier.require_eval()


def test_a_bare_frozen_module_is_a_classifier():
    net = network()
    torch.testing.assert_close(as_classifier(frozen(net))(IMAGES), net(IMAGES))


@pytest.mark.parametrize("make", [scripted, frozen])
def test_memory_of_a_script_is_that_of_the_network(make):
    net = network()
    expected = bytes_per_image(Classifier(net), IMAGES[:1], gradient=False)
    assert expected == 2 * 2 * 16 * 12 * 12 * 4  # in and out of the ReLU, twice
    found = bytes_per_image(Classifier(make(net)), IMAGES[:1], gradient=False)
    weights = sum(p.nbytes for p in net.parameters())
    assert expected <= found <= expected + 2 * weights


def test_occlusion_of_a_frozen_module():
    net = network()
    torch.testing.assert_close(
        occlusion(Classifier(frozen(net)), IMAGES, grid=3),
        occlusion(Classifier(net), IMAGES, grid=3),
    )
