"""What must hold for any image and any weights."""

import copy
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sundog.explain.attribute import attribute, attribute_many
from sundog.explain.integrated_gradients import integrated_gradients
from sundog.models.classifier import Classifier

METHODS = {
    "gradient_norm": {},
    "gradient_x_input": {"reduction": "sum"},
    "integrated_gradients": {"n_steps": 5, "baseline": ["black", "uniform"]},
    "gradient_shap": {"n_samples": 3, "stdevs": 0.1, "baseline": ["black", "white"]},
    "noise_tunnel": {"n_samples": 3, "mode": "vargrad"},
    "grad_cam": {},
    "grad_cam_plus_plus": {},
    "layer_grad_cam": {},
    "layer_conductance": {"n_steps": 4},
    "neuron_conductance": {"n_steps": 4, "neuron_index": 1},
}
CLOSE = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-12)
few = settings(max_examples=8, deadline=None)


def make_network(seed, *, smooth=False):
    torch.manual_seed(seed)
    activation = nn.Softplus if smooth else partial(nn.ReLU, inplace=True)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        activation(),
        nn.AvgPool2d(2) if smooth else nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5),
        activation(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )
    for norm in (network[1], network[5]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.3, 3)
        nn.init.normal_(norm.weight, 1, 0.3)
        nn.init.normal_(norm.bias, 0.3, 0.3)
    return network


def make_classifier(seed, **given):
    network = make_network(seed, **given)
    return Classifier(network, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)).double()


def make_images(seed, count=5):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 9, 10, dtype=torch.float64, generator=g)


@pytest.mark.parametrize("name", METHODS)
@few
@given(seed=st.integers(0, 1000), split=st.integers(1, 4))
def test_alone_in_a_batch_or_in_small_chunks(name, seed, split):
    classifier, images = make_classifier(seed), make_images(seed)
    whole = attribute(classifier, images, name, **METHODS[name])
    parts = [
        attribute(classifier, part, name, **METHODS[name]).maps for part in images.split(split)
    ]
    CLOSE(torch.cat(parts), whole.maps)
    order = torch.arange(len(images)).flip(0)
    turned = attribute(classifier, images[order], name, budget=1, **METHODS[name])
    CLOSE(turned.maps[order], whole.maps)
    assert torch.equal(turned.target[order], whole.target)
    again = attribute(classifier, images, name, **METHODS[name])
    assert torch.equal(again.maps, whole.maps)  # bit for bit


def fold(network):
    """The same function with the batch norms folded into the convolutions."""
    folded = copy.deepcopy(network)
    for conv_at, norm_at in ((0, 1), (4, 5)):
        conv, norm = folded[conv_at], folded[norm_at]
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        with torch.no_grad():
            conv.weight.mul_(scale[:, None, None, None])
            conv.bias.sub_(norm.running_mean).mul_(scale).add_(norm.bias)
        folded[norm_at] = nn.Identity()
    return folded


@pytest.mark.parametrize("name", [n for n in METHODS if n != "neuron_conductance"])
@few
@given(seed=st.integers(0, 1000))
def test_implementation_invariance(name, seed):
    network = make_network(seed).double().eval()
    one, other = Classifier(network).double(), Classifier(fold(network)).double()
    images = make_images(seed)
    CLOSE(other.predict(images), one.predict(images))
    parameters = (
        {**METHODS[name], "layer": "6"} if "layer" in name or "cam" in name else METHODS[name]
    )
    first = attribute(one, images, name, **parameters)
    second = attribute(other, images, name, **parameters)
    torch.testing.assert_close(second.maps, first.maps, rtol=1e-7, atol=1e-10)


@few
@given(seed=st.integers(0, 1000), baseline=st.sampled_from(["black", "white", "blur", "uniform"]))
def test_completeness_on_smooth_networks(seed, baseline):
    classifier, images = make_classifier(seed, smooth=True), make_images(seed)
    found = attribute(
        classifier, images, "integrated_gradients", baseline=baseline, n_steps=40, reduction="sum"
    )
    assert found.completeness_gap.abs().max() < 1e-6
    assert found.signed
    conductance = attribute(
        classifier, images, "layer_conductance", layer="6", baseline=baseline, n_steps=4
    )
    assert conductance.completeness_gap.abs().max() < 1e-12


@few
@given(seed=st.integers(0, 1000), a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_linearity_in_the_explained_scalar(seed, a, b):
    classifier, images = make_classifier(seed), make_images(seed)

    def explain(target):
        return integrated_gradients(classifier, images, target, n_steps=6, reduction="none")

    mixed = explain(lambda logits: a * logits[:, 0] + b * logits[:, 2])
    CLOSE(mixed, a * explain(0) + b * explain(2))


@few
@given(seed=st.integers(0, 1000))
def test_one_pass_gives_what_each_method_gives_alone(seed):
    classifier, images = make_classifier(seed), make_images(seed)
    names = ["gradient_norm", "gradient_x_input", "grad_cam", "grad_cam_plus_plus"]
    asked = {n: (n, {}) for n in names} | {
        "early": ("layer_grad_cam", {"layer": "2", "resized": False}),
        "signed": ("gradient_x_input", {"reduction": "sum"}),
    }
    together = attribute_many(classifier, images, asked)
    for label, (name, given_) in asked.items():
        alone = attribute(classifier, images, name, **given_)
        CLOSE(together[label].maps, alone.maps)
        assert torch.equal(together[label].target, alone.target)
        assert together[label].signed == alone.signed


@pytest.mark.parametrize("name", METHODS)
def test_maps_change_when_the_weights_are_random(name):
    """Model-randomisation check: a map that ignores the weights explains nothing."""
    images = make_images(0)
    given_ = dict(METHODS[name])
    if "cam" in name or "conductance" in name:
        given_["layer"] = "6"
    one = attribute(make_classifier(1), images, name, target=0, **given_)
    other = make_classifier(1)
    torch.manual_seed(77)
    for parameter in other.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    changed = attribute(other, images, name, target=0, **given_).maps
    for first, second in zip(one.maps.flatten(1), changed.flatten(1), strict=True):
        if first.norm() > 0 and second.norm() > 0:
            similarity = torch.corrcoef(torch.stack([first, second]))[0, 1]
            assert abs(float(similarity)) < 0.95
    assert (one.maps - changed).abs().max() > 0.05 * one.maps.abs().max()
