"""Bad input is refused in plain words, and nothing stays changed afterwards."""

import copy

import pytest
import torch
from torch import nn

from sundog.core.errors import InputError, LayerError, ModelStateError, UnknownNameError
from sundog.explain.attribute import attribute, attribute_many
from sundog.models.classifier import Classifier

MINE = [
    "gradient_norm",
    "gradient_x_input",
    "integrated_gradients",
    "gradient_shap",
    "noise_tunnel",
    "grad_cam",
    "grad_cam_plus_plus",
    "layer_grad_cam",
    "layer_conductance",
    "neuron_conductance",
]
QUICK = {
    "integrated_gradients": {"n_steps": 3},
    "gradient_shap": {"n_samples": 2},
    "noise_tunnel": {"n_samples": 2},
    "layer_conductance": {"n_steps": 2},
    "neuron_conductance": {"n_steps": 2},
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.twice = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.idle = nn.Conv2d(4, 4, 1)
        self.side = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.twice(self.second(self.twice(self.conv(x))))
        pooled = x.mean((2, 3))
        self.side(pooled.detach())  # runs, but the logits do not depend on it
        return self.head(pooled)


@pytest.fixture
def classifier():
    return Classifier(Net())


@pytest.fixture
def images():
    return torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(4))


def state(classifier):
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in classifier.modules()
    ]
    flags = [m.training for m in classifier.modules()]
    grads = [(p.requires_grad, p.grad is None) for p in classifier.parameters()]
    values = {k: v.clone() for k, v in classifier.state_dict().items()}
    return hooks, flags, grads, values, torch.is_grad_enabled(), torch.get_rng_state()


def unchanged(before, after):
    assert before[:3] == after[:3]
    assert all(torch.equal(before[3][k], after[3][k]) for k in before[3])
    assert before[4] == after[4]
    assert torch.equal(before[5], after[5])  # nothing drew from the global generator


@pytest.mark.parametrize("name", MINE)
def test_state_is_untouched(classifier, images, name):
    classifier.network.conv.weight.requires_grad_(False)
    before, given = state(classifier), images.clone()
    attribute(classifier, images, name, **QUICK.get(name, {}))
    unchanged(before, state(classifier))
    assert torch.equal(images, given)
    assert not images.requires_grad


@pytest.mark.parametrize("name", MINE)
def test_state_is_restored_after_an_error(classifier, images, name):
    calls = {"n": 0}
    forward = classifier.network.forward
    given = {"layer": "second"} if "cam" in name or "conductance" in name else {}
    attribute(classifier, images, name, **given, **QUICK.get(name, {}))

    def breaks(x):
        calls["n"] += 1
        out = forward(x)
        if calls["n"] > 1 or name in ("gradient_norm", "gradient_x_input") or "cam" in name:
            raise RuntimeError("planted")
        return out

    classifier.network.forward = breaks
    before = state(classifier)
    with pytest.raises(RuntimeError, match="planted"):
        attribute(classifier, images, name, **given, **QUICK.get(name, {}))
    unchanged(before, state(classifier))


@pytest.mark.parametrize("name", MINE)
def test_train_mode_is_refused(classifier, images, name):
    classifier.network.twice.train()
    with pytest.raises(ModelStateError, match=r"must be in eval mode.*twice"):
        attribute(classifier, images, name)
    assert classifier.network.twice.training


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.index_fill(1, torch.tensor([0]), float("nan")), "NaN in 3 of 3 images"),
        (lambda x: x * 3, r"must be in \[0, 1\]; got values from"),
        (lambda x: (x * 255).to(torch.uint8), "Divide by 255"),
        (lambda x: x[0], r"\[batch, 3, height, width\]; got \(3, 6, 6\)"),
        (lambda x: x[:, :1], r"got \(3, 1, 6, 6\)"),
        (lambda x: x[:0], "at least one image"),
        (lambda x: x.numpy(), "got ndarray"),
    ],
)
@pytest.mark.parametrize("name", ["gradient_norm", "integrated_gradients", "grad_cam"])
def test_bad_images(classifier, images, name, change, words):
    with pytest.raises(InputError, match=words):
        attribute(classifier, change(images), name)


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"target": 3}, r"a class in 0\.\.2; got classes from 3 to 3"),
        ({"target": -1}, "got classes from -1"),
        ({"target": torch.tensor([0, 1])}, r"one class per image, shape \(3,\); got \(2,\)"),
        ({"output": "odds"}, "output must be one of"),
        ({"budget": 0}, "budget must be a positive number of bytes"),
        ({"target": lambda logits: logits}, "one value per row"),
    ],
)
def test_bad_arguments(classifier, images, name, given, words):
    with pytest.raises(InputError, match=words):
        attribute(classifier, images, name, **QUICK.get(name, {}), **given)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("integrated_gradients", {"n_steps": 0}, "n_steps must be an integer >= 1"),
        ("integrated_gradients", {"rule": "riemann", "n_steps": 1}, ">= 2 for riemann"),
        ("integrated_gradients", {"rule": "simpson"}, "rule must be one of"),
        ("integrated_gradients", {"baseline": []}, "non-empty list"),
        ("integrated_gradients", {"baseline": torch.zeros(5, 5)}, "broadcasts to"),
        ("integrated_gradients", {"baseline": "blak"}, "Did you mean 'black'"),
        ("integrated_gradients", {"reduction": "max"}, "reduction must be one of"),
        ("layer_conductance", {"n_steps": 0}, "n_steps must be an integer >= 1"),
        ("gradient_shap", {"n_samples": 0}, "n_samples must be an integer >= 1"),
        ("gradient_shap", {"stdevs": -1.0}, "stdevs must be a finite number >= 0"),
        ("noise_tunnel", {"n_samples": 1.5}, "n_samples must be"),
        ("noise_tunnel", {"noise": float("nan")}, "noise must be a finite number"),
        ("noise_tunnel", {"stdevs": -0.1}, "stdevs must be a finite number"),
        ("noise_tunnel", {"mode": "smooth"}, "mode must be one of"),
        ("noise_tunnel", {"inner": "noise_tunnel"}, "another method than noise_tunnel"),
        ("noise_tunnel", {"inner": "grad_camm"}, "Did you mean 'grad_cam'"),
        ("neuron_conductance", {"neuron_index": 4}, r"output \(4, 6, 6\); got 4"),
        ("neuron_conductance", {"neuron_index": (0, 0, 0, 0)}, "neuron_index must be"),
        ("neuron_conductance", {"neuron_index": -1}, "neuron_index must be"),
    ],
)
def test_bad_parameters(classifier, images, name, given, words):
    if name == "neuron_conductance":
        given = {"layer": "second", **given}
    with pytest.raises(InputError, match=words):
        attribute(classifier, images, name, **given)


LAYERED = ["grad_cam", "grad_cam_plus_plus", "layer_conductance", "neuron_conductance"]


@pytest.mark.parametrize("name", LAYERED)
@pytest.mark.parametrize(
    ("layer", "error", "words"),
    [
        ("twice", LayerError, "called once per forward pass; got 2 calls"),
        ("idle", LayerError, "one that runs in the forward pass"),
        ("side", ModelStateError, "does not depend on"),
        ("sekond", UnknownNameError, "Did you mean 'second'"),
    ],
)
def test_wrong_layers(classifier, images, name, layer, error, words):
    before = state(classifier)
    with pytest.raises(error, match=words):
        attribute(classifier, images, name, layer=layer, **QUICK.get(name, {}))
    unchanged(before, state(classifier))


@pytest.mark.parametrize("name", LAYERED[:3])
def test_a_layer_without_a_map(classifier, images, name):
    with pytest.raises(LayerError, match="a map or a row of tokens"):
        attribute(classifier, images, name, layer="head", **QUICK.get(name, {}))


def test_a_layer_of_another_model(classifier, images):
    other = copy.deepcopy(classifier)
    with pytest.raises(LayerError, match="not part of it"):
        attribute(classifier, images, "grad_cam", layer=other.network.second)


def test_a_network_that_cuts_the_gradient(images):
    class Cut(Net):
        def forward(self, x):
            return super().forward(x.detach())

    with pytest.raises(ModelStateError, match="no gradient"):
        attribute(Classifier(Cut()), images, "integrated_gradients")

    class Stop(Net):
        @torch.no_grad()
        def forward(self, x):
            return super().forward(x)

    with pytest.raises(ModelStateError, match="no gradient"):
        attribute(Classifier(Stop()), images, "gradient_norm")
    # gradients begin at the layer, after the place where this network turns them off
    found = attribute(Classifier(Stop()), images, "grad_cam", layer="second")
    expected = attribute(Classifier(Net()), images, "grad_cam", layer="second")
    torch.testing.assert_close(found.maps, expected.maps)


@pytest.mark.parametrize("name", [n for n in MINE if n != "noise_tunnel"])
def test_networks_without_gradients_are_refused(images, name):
    classifier = Classifier(Net(), differentiable=False)
    with pytest.raises(ModelStateError, match="needs gradients"):
        attribute(classifier, images, name)


def test_noise_tunnel_over_occlusion_needs_no_gradient(images):
    classifier = Classifier(Net(), differentiable=False)
    found = attribute(
        classifier,
        images,
        "noise_tunnel",
        inner="occlusion",
        inner_parameters={"grid": 2},
        n_samples=2,
    )
    assert found.backwards == 0
    with pytest.raises(ModelStateError, match="needs gradients"):
        attribute(classifier, images, "noise_tunnel", n_samples=2)


def test_broken_weights(classifier, images):
    with torch.no_grad():
        classifier.network.head.bias[1] = float("nan")
    for name in ("gradient_norm", "integrated_gradients", "grad_cam"):
        with pytest.raises(InputError, match="logits must be finite"):
            attribute(classifier, images, name)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", MINE)
def test_works_where_gradients_are_off(classifier, images, name, context):
    expected = attribute(classifier, images, name, **QUICK.get(name, {})).maps
    with context():
        found = attribute(classifier, images.clone(), name, **QUICK.get(name, {})).maps
        torch.testing.assert_close(found, expected)
        assert not torch.is_grad_enabled()
    assert not found.requires_grad


@pytest.mark.parametrize("name", MINE)
def test_images_that_want_a_gradient_get_a_map_without(classifier, images, name):
    found = attribute(classifier, images.requires_grad_(), name, **QUICK.get(name, {}))
    assert not found.maps.requires_grad
    assert images.grad is None


@pytest.mark.parametrize("name", MINE)
def test_a_dead_network_gives_zeros(classifier, images, name):
    with torch.no_grad():
        classifier.network.second.weight.zero_()
        classifier.network.second.bias.fill_(-1)
    given = {"layer": "conv"} if "cam" in name or "conductance" in name else {}
    found = attribute(classifier, images, name, **given, **QUICK.get(name, {}))
    assert torch.equal(found.maps, torch.zeros(3, 6, 6))


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize("side", [1, 2])
def test_tiny_images(classifier, name, side):
    given = {"layer": "second"} if "cam" in name or "conductance" in name else {}
    tiny = torch.rand(2, 3, side, side)
    found = attribute(classifier, tiny, name, **given, **QUICK.get(name, {}))
    assert found.maps.shape == (2, side, side)
    assert torch.isfinite(found.maps).all()


def test_black_and_constant_images(classifier):
    flat = torch.stack([torch.zeros(3, 6, 6), torch.full((3, 6, 6), 0.5), torch.ones(3, 6, 6)])
    for name in MINE:
        given = {"layer": "second"} if "cam" in name or "conductance" in name else {}
        found = attribute(classifier, flat, name, **given, **QUICK.get(name, {}))
        assert torch.isfinite(found.maps).all()
    assert attribute(classifier, flat, "gradient_x_input").maps[0].abs().max() == 0
    assert attribute(classifier, flat, "integrated_gradients").maps[0].abs().max() == 0


def test_a_text_is_not_a_list_of_methods(classifier, images):
    with pytest.raises(InputError, match="non-empty list of names"):
        attribute_many(classifier, images, "grad_cam")
