"""Reading and replacing the last linear layer, against the network's own logits."""

import pytest
import torch
from torch import nn

from sundog.core.errors import InputError, LayerError
from sundog.models.classifier import Classifier
from sundog.models.feature_table import forward_features
from sundog.models.head import read_head, with_head
from sundog.models.nets import CNN5, SmallCNN
from sundog.models.zoo import get_model


def _images(count=4, side=32):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def _classifier(network, **options):
    torch.manual_seed(0)
    return get_model(network, input_size=(32, 32), **options)


@pytest.mark.parametrize("network", [SmallCNN(4), CNN5(4)])
def test_the_head_makes_the_logits_from_the_features(network):
    classifier = _classifier(network)
    head = read_head(classifier)
    with torch.no_grad():
        features, logits = forward_features(classifier, _images())
        assert torch.equal(logits, classifier(_images()))
    assert torch.allclose(features @ head.weight.T + head.bias, logits, atol=1e-5)


def test_a_head_of_chosen_classes_has_their_rows_and_leaves_the_others():
    whole = _classifier(SmallCNN(5))
    part = whole.with_classes((3, 1), ("three", "one"))
    head = read_head(part)
    assert torch.equal(head.weight, read_head(whole).weight[[3, 1]])
    changed = with_head(part, weight=head.weight * 2, bias=head.bias + 1)
    before, after = whole.network.head, changed.network.head
    assert torch.equal(after.weight[[3, 1]], before.weight[[3, 1]] * 2)
    assert torch.equal(after.weight[[0, 2, 4]], before.weight[[0, 2, 4]])
    assert torch.equal(after.bias[[3, 1]], before.bias[[3, 1]] + 1)


def test_a_replaced_head_answers_as_its_formula_and_the_original_is_untouched():
    classifier = _classifier(CNN5(3))
    state = {name: value.clone() for name, value in classifier.state_dict().items()}
    weight = torch.randn(3, 256, generator=torch.Generator().manual_seed(1))
    bias = torch.tensor([0.5, -1.0, 2.0])
    changed = with_head(classifier, weight=weight, bias=bias)
    with torch.no_grad():
        features, logits = forward_features(changed, _images())
    assert torch.allclose(logits, features @ weight.T + bias, atol=1e-4)
    assert all(torch.equal(value, state[name]) for name, value in classifier.state_dict().items())


@pytest.mark.parametrize("indices", [None, (1, 0)])
def test_one_logit_for_two_classes(indices):
    classifier = _classifier(SmallCNN(1), output="binary_logit")
    if indices is not None:
        classifier = classifier.with_classes(indices, ("b", "a"))
    head = read_head(classifier)
    weight = torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(2))
    bias = torch.tensor([0.3, -0.7])
    changed = with_head(classifier, weight=weight, bias=bias)
    with torch.no_grad():
        features, logits = forward_features(changed, _images())
    wanted = (features @ weight.T + bias).softmax(1)
    assert torch.allclose(logits.softmax(1), wanted, atol=1e-5)
    assert changed.network.head.weight.shape == (1, 1024)


def test_a_head_without_bias_gets_one():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3, bias=False))
    classifier = _classifier(network)
    assert torch.equal(read_head(classifier).bias, torch.zeros(3))
    changed = with_head(
        classifier, weight=read_head(classifier).weight, bias=torch.tensor([1.0, 2.0, 3.0])
    )
    with torch.no_grad():
        gap = changed(_images()) - classifier(_images())
    assert torch.allclose(gap, torch.tensor([1.0, 2.0, 3.0]).expand(4, 3), atol=1e-6)


def test_what_follows_the_head_is_refused():
    class Squashed(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool, self.head = nn.AdaptiveAvgPool2d(2), nn.Linear(12, 3)

        def forward(self, images):
            return self.head(self.pool(images).flatten(1)).tanh()

    with pytest.raises(LayerError, match="logits that differ"):
        read_head(_classifier(Squashed()))


def test_a_classifier_without_a_linear_head_is_refused():
    with pytest.raises(LayerError, match="no such layer"):
        read_head(Classifier(SmallCNN(3)))


def test_a_new_head_of_another_shape_or_with_nan_is_refused():
    classifier = _classifier(SmallCNN(3))
    head = read_head(classifier)
    with pytest.raises(InputError, match="weight \\(3, 1024\\)"):
        with_head(classifier, weight=head.weight[:2], bias=head.bias[:2])
    with pytest.raises(InputError, match="NaN"):
        with_head(classifier, weight=head.weight * float("nan"), bias=head.bias)
