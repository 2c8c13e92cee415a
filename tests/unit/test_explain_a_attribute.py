"""The front door: what is recorded, what is shared, what it costs."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from sundog.core.errors import InputError, UnknownNameError
from sundog.explain.attribute import attribute, attribute_many
from sundog.explain.plan import parameters_of
from sundog.explain.registry import METHODS
from sundog.explain.shared import shared_pass
from sundog.models.classifier import Classifier

SHARED = ["gradient_norm", "gradient_x_input", "grad_cam", "grad_cam_plus_plus", "layer_grad_cam"]


class Counted(nn.Module):
    """Counts by itself how many rows go forward and how many come back."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 3)
        self.forwards, self.backwards = 0, 0

    def forward(self, x):
        self.forwards += len(x)
        out = self.head(self.relu(self.conv(x)).mean((2, 3)))
        if out.requires_grad:
            out.register_hook(self._back)
        return out

    def _back(self, gradient):
        self.backwards += len(gradient)


@pytest.fixture
def classifier():
    return Classifier(Counted(), cam_layer="relu", class_names=["a", "b", "c"])


@pytest.fixture
def images():
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def warm(classifier, images):
    """Measure the memory of one image before counting."""
    attribute(classifier, images, "gradient_norm")
    attribute(classifier, images, "occlusion", grid=2)
    classifier.network.forwards = classifier.network.backwards = 0


def test_methods_that_share_cost_one_forward_and_one_backward(classifier, images):
    warm(classifier, images)
    found = attribute_many(classifier, images, SHARED)
    assert (classifier.network.forwards, classifier.network.backwards) == (6, 6)
    for name in SHARED:
        assert (found[name].forwards, found[name].backwards) == (1.0, 1.0)
        assert set(found[name].shared) == set(SHARED) - {name}
        assert torch.equal(found[name].logits, found["grad_cam"].logits)
    torch.testing.assert_close(found["grad_cam"].logits, classifier.predict(images))


def test_logits_and_classes_come_with_the_pass(classifier, images):
    warm(classifier, images)
    maps, objective = shared_pass(
        classifier, images, {"a": ("gradient_norm", {}), "b": ("grad_cam", {})}, budget=1
    )
    assert (classifier.network.forwards, classifier.network.backwards) == (6, 6)
    assert set(maps) == {"a", "b"}
    assert torch.equal(objective.target, objective.logits.argmax(1))


@pytest.mark.parametrize("name", SHARED)
def test_each_of_them_alone_costs_one_of_each_too(classifier, images, name):
    warm(classifier, images)
    METHODS[name].function(classifier, images, 1)
    assert (classifier.network.forwards, classifier.network.backwards) == (6, 6)


@pytest.mark.parametrize(
    ("name", "parameters", "forwards", "backwards"),
    [
        ("integrated_gradients", {"n_steps": 7}, 7 + 1 + 1 / 6, 7),  # + class, + black once
        ("integrated_gradients", {"n_steps": 7, "baseline": "blur"}, 7 + 1 + 1, 7),
        ("gradient_shap", {"n_samples": 4}, 4 + 1 + 1 / 6, 4),
        ("noise_tunnel", {"n_samples": 4}, 4 + 1, 4),
        ("layer_conductance", {"n_steps": 4}, 5 + 1 + 1 / 6, 5),
        ("neuron_conductance", {"n_steps": 4}, 4 + 1, 4),
        ("occlusion", {"grid": 2}, 4 + 1, 0),
    ],
)
def test_cost_is_measured(classifier, images, name, parameters, forwards, backwards):
    warm(classifier, images)
    found = attribute(classifier, images, name, **parameters)
    assert found.forwards == pytest.approx(forwards)
    assert found.backwards == pytest.approx(backwards)
    assert classifier.network.forwards == pytest.approx(6 * forwards, abs=1)  # 1: memory probe
    assert found.seconds > 0


def test_the_class_is_predicted_once_for_all(classifier, images):
    warm(classifier, images)
    found = attribute_many(classifier, images, ["occlusion", "integrated_gradients", "grad_cam"])
    for one in found.values():
        assert torch.equal(one.target, found["grad_cam"].target)
    assert list(found) == ["occlusion", "integrated_gradients", "grad_cam"]
    assert found["occlusion"].output == "probability"  # its own default
    assert found["grad_cam"].output == "logit"
    assert found["occlusion"].forwards == 36  # the prediction came with Grad-CAM's pass


def test_everything_is_recorded(classifier, images):
    found = attribute(
        classifier,
        images,
        "integrated_gradients",
        target=torch.tensor([0, 1, 2, 0, 1, 2]),
        baseline=["black", torch.zeros(3, 8, 8)],
        rule="trapezoid",
        n_steps=3,
        output="log_probability",
        reduction="sum",
    )
    record = found.record()
    json.dumps(record, allow_nan=False)
    assert record["method"] == "integrated_gradients"
    assert record["target"] == [0, 1, 2, 0, 1, 2]
    assert record["output"] == "log_probability"
    assert record["baseline"] == "mean over black, tensor(3, 8, 8)"
    assert record["reduction"] == "sum"
    assert record["signed"] is True
    assert record["parameters"] == {
        "baseline": ["black", "tensor(3, 8, 8)"],
        "n_steps": 3,
        "rule": "trapezoid",
        "reduction": "sum",
        "seed": 0,
    }
    assert len(record["completeness_gap"]) == 6
    assert record["shape"] == [6, 8, 8]
    assert repr(found).startswith(
        "Attribution(integrated_gradients, 6x8x8, log_probability, signed"
    )


def test_the_layer_that_was_found_is_recorded(images):
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    found = attribute(Classifier(network), images, "grad_cam")
    assert found.parameters["layer"] == "1"
    assert found.maps.shape == (6, 8, 8)


@pytest.mark.parametrize(
    ("name", "parameters", "signed"),
    [
        ("gradient_norm", {}, False),
        ("gradient_norm", {"reduction": "sum"}, True),
        ("gradient_x_input", {"reduction": "abs_sum"}, False),
        ("gradient_shap", {}, True),
        ("grad_cam", {}, False),
        ("grad_cam", {"relu": False}, True),
        ("layer_grad_cam", {}, True),
        ("noise_tunnel", {}, False),
        ("noise_tunnel", {"reduction": "sum"}, True),
        ("noise_tunnel", {"inner": "layer_grad_cam"}, True),
        ("noise_tunnel", {"inner": "layer_grad_cam", "mode": "vargrad"}, False),
        ("occlusion", {"grid": 2}, True),
    ],
)
def test_sign_is_that_of_the_maps(classifier, images, name, parameters, signed):
    found = attribute(classifier, images, name, **parameters)
    assert found.signed is signed
    if not signed:
        assert found.maps.min() >= 0
    else:
        assert found.maps.min() < 0


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_row_of_the_table_tells_the_truth(name):
    method = METHODS[name]
    assert method.name == name
    assert method.paper
    assert method.convention
    assert method.cost
    assert "arXiv" in method.function.__doc__
    if method.space == "pixel" and name != "noise_tunnel" and method.gradient:
        assert "reduction" in parameters_of(method)
    if method.complete:
        assert {"reduction", "baseline"} <= set(parameters_of(method))


def test_none_keeps_the_channels(classifier, images):
    found = attribute(classifier, images, "integrated_gradients", reduction="none")
    assert found.maps.shape == (6, 3, 8, 8)
    units = attribute(classifier, images, "layer_conductance", reduction="none")
    assert units.maps.shape == (6, 4, 6, 6)


def test_any_scalar_of_the_output(classifier, images):
    def margin(logits):
        return logits[:, 0] - logits[:, 1:].amax(1)

    found = attribute(classifier, images, "gradient_x_input", target=margin, reduction="none")
    assert found.target is None
    leaf = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(margin(classifier(leaf)).sum(), leaf)
    torch.testing.assert_close(found.maps, expected * images)
    assert attribute(classifier, images, "occlusion", target=margin, grid=2).maps.shape == (6, 8, 8)


def test_numpy_and_list_targets(classifier, images):
    wanted = [2, 1, 0, 2, 1, 0]
    for target in (wanted, np.array(wanted), torch.tensor(wanted)):
        assert attribute(classifier, images, "grad_cam", target=target).target.tolist() == wanted


def test_unknown_names_suggest_the_nearest(classifier, images):
    with pytest.raises(UnknownNameError, match="'integrated_gradients'"):
        attribute(classifier, images, "integrated_gradient")
    with pytest.raises(UnknownNameError, match="Did you mean 'n_steps'"):
        attribute(classifier, images, "integrated_gradients", nsteps=3)
    with pytest.raises(UnknownNameError, match="'n_steps'"):
        attribute(
            classifier,
            images,
            "noise_tunnel",
            inner="integrated_gradients",
            inner_parameters={"n_step": 3},
        )
    with pytest.raises(UnknownNameError, match="'relu'"):
        attribute(classifier, images, "grad_cam", layer="relus")
    with pytest.raises(InputError, match="non-empty list"):
        attribute_many(classifier, images, [])


def test_noise_tunnel_over_other_methods(classifier, images):
    for inner, parameters in [
        ("integrated_gradients", {"n_steps": 3}),
        ("occlusion", {"grid": 2}),
        ("layer_conductance", {"n_steps": 2}),
        ("gradient_shap", {"n_samples": 2}),
    ]:
        found = attribute(
            classifier,
            images,
            "noise_tunnel",
            inner=inner,
            inner_parameters=parameters,
            n_samples=2,
        )
        silent = attribute(
            classifier,
            images,
            "noise_tunnel",
            inner=inner,
            inner_parameters=parameters,
            n_samples=2,
            noise=0.0,
        )
        plain = attribute(classifier, images, inner, **parameters)
        torch.testing.assert_close(silent.maps, plain.maps, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(found.maps, plain.maps)
        assert found.output == plain.output
