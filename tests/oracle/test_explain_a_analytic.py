"""Models whose attributions are known in closed form."""

import pytest
import torch
from torch import nn

from sundog.explain.attribute import attribute
from sundog.explain.gradient_norm import gradient_norm
from sundog.explain.gradient_shap import gradient_shap
from sundog.explain.gradient_x_input import gradient_x_input
from sundog.explain.integrated_gradients import integrated_gradients
from sundog.explain.layer_conductance import layer_conductance
from sundog.explain.neuron_conductance import neuron_conductance
from sundog.explain.noise_tunnel import noise_tunnel
from sundog.models.classifier import Classifier


class Function(nn.Module):
    """Two logits, f(x) and 0."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        value = self.f(x)
        return torch.stack([value, torch.zeros_like(value)], dim=1)


def of(f, **parameters):
    return Classifier(Function(f), **parameters).double()


def random_images(seed=0, count=4, side=5):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side, dtype=torch.float64, generator=g)


@pytest.fixture
def images():
    return random_images()


@pytest.fixture
def weights():
    return torch.randn(3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def test_linear_all_agree(images, weights):
    classifier = of(lambda x: (x * weights).sum((1, 2, 3)) + 0.7)
    expected = images * weights
    for found in (
        gradient_x_input(classifier, images, 0, reduction="none"),
        integrated_gradients(classifier, images, 0, n_steps=3, reduction="none"),
        integrated_gradients(classifier, images, 0, n_steps=4, rule="riemann", reduction="none"),
        gradient_shap(classifier, images, 0, n_samples=3, reduction="none"),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    norm = gradient_norm(classifier, images, 0)
    torch.testing.assert_close(norm, weights.norm(dim=0).expand_as(norm))


def test_normalisation_is_inside_the_gradient(images, weights):
    classifier = of(
        lambda x: (x * weights).sum((1, 2, 3)), mean=(0.5, 0.4, 0.3), std=(0.2, 0.5, 0.25)
    )
    slope = weights / torch.tensor([0.2, 0.5, 0.25], dtype=torch.float64)[:, None, None]
    found = gradient_x_input(classifier, images, 0, reduction="none")
    # float32 constants of the normalisation
    torch.testing.assert_close(found, images * slope, rtol=1e-6, atol=1e-6)


def test_black_in_pixel_space_is_not_zero_in_network_space(images):
    classifier = of(lambda x: x.square().sum((1, 2, 3)), mean=(0.5,) * 3, std=(0.5,) * 3)
    black = integrated_gradients(classifier, images, 0, reduction="sum")
    # ((x - .5) / .5)^2 - ((0 - .5) / .5)^2 for black, minus nothing for the mean colour
    torch.testing.assert_close(black, ((2 * images - 1).square() - 1).sum(1))
    mean = integrated_gradients(classifier, images, 0, baseline=0.5, reduction="sum")
    torch.testing.assert_close(mean, (2 * images - 1).square().sum(1))


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        ("gauss_legendre", 1),
        ("gauss_legendre", 7),
        ("midpoint", 1),
        ("midpoint", 4),
        ("trapezoid", 2),
        ("trapezoid", 5),
        ("riemann", 2),
        ("riemann", 20),
    ],
)
def test_quadratic_is_exact_for_rules_of_degree_one(images, weights, rule, steps):
    classifier = of(lambda x: (weights * x.square()).sum((1, 2, 3)))
    start = random_images(seed=5)
    found = integrated_gradients(
        classifier, images, 0, baseline=start, n_steps=steps, rule=rule, reduction="none"
    )
    expected = weights * (images.square() - start.square())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_right_rule_is_off_by_its_known_error(images, weights):
    classifier = of(lambda x: (weights * x.square()).sum((1, 2, 3)))
    found = integrated_gradients(classifier, images, 0, n_steps=8, rule="right", reduction="none")
    torch.testing.assert_close(found, weights * images.square() * (1 + 1 / 8))


def test_saturation(images):
    # f = 1 - ReLU(1 - 2 x): saturated above 0.5, where the gradient is 0 and the contribution is 1
    classifier = of(lambda x: (1 - (1 - 2 * x).relu())[:, 0, 0, 0])
    bright = torch.ones_like(images)
    assert gradient_norm(classifier, bright, 0).abs().max() == 0
    found = integrated_gradients(classifier, bright, 0, n_steps=2, rule="midpoint", reduction="sum")
    assert found[:, 0, 0].tolist() == [1.0] * 4
    assert found.flatten(1).sum(1).tolist() == [1.0] * 4


def test_symmetric_inputs_get_equal_attribution(images):
    def f(x):
        flat = x.flatten(1)
        return torch.maximum(flat[:, 0], flat[:, 7]) * flat[:, 0] * flat[:, 7] + flat[:, 3].exp()

    same = images.clone()
    same.flatten(1)[:, 7] = same.flatten(1)[:, 0]
    found = integrated_gradients(of(f), same, 0, n_steps=9, reduction="none").flatten(1)
    torch.testing.assert_close(found[:, 7], found[:, 0])
    assert found[:, 1].abs().max() == 0  # dummy: a pixel that f does not read gets nothing


def test_mean_over_baselines(images, weights):
    classifier = of(lambda x: (weights * x.square()).sum((1, 2, 3)))
    found = integrated_gradients(
        classifier, images, 0, baseline=["black", "white", 0.5], n_steps=2, reduction="none"
    )
    torch.testing.assert_close(found, weights * (images.square() - (0 + 1 + 0.25) / 3))


@pytest.mark.parametrize("baseline", ["black", ["black", "white", 0.3], "blur", "uniform", "mean"])
def test_completeness_gap_is_that_of_the_closed_form(images, weights, baseline):
    classifier = of(lambda x: (weights * x.pow(3)).sum((1, 2, 3)))
    exact = attribute(classifier, images, "integrated_gradients", target=0, baseline=baseline)
    assert exact.completeness_gap.abs().max() < 1e-12
    coarse = attribute(
        classifier, images, "integrated_gradients", target=0, n_steps=5, rule="riemann"
    )
    nodes = torch.linspace(0, 1, 5, dtype=torch.float64)
    error = 3 * nodes.square().mean() - 1  # of the mean of 3 a^2, whose integral is 1
    expected = error * (weights * images.pow(3)).sum((1, 2, 3))
    torch.testing.assert_close(coarse.completeness_gap, expected)


def test_gradient_shap_gap_shrinks_and_its_mean_is_zero(images, weights):
    classifier = of(lambda x: (weights * x.square()).sum((1, 2, 3)))
    sums = []
    for seed in range(30):
        found = attribute(
            classifier,
            images,
            "gradient_shap",
            target=0,
            baseline=[0.0, 1.0],
            seed=seed,
            n_samples=20,
        )
        sums.append(found.completeness_gap)
    gaps = torch.stack(sums)
    error = gaps.std(dim=0) / len(sums) ** 0.5
    assert (gaps.mean(dim=0).abs() < 4 * error).all()
    assert error.min() > 0


def test_smoothgrad_of_a_quadratic(images, weights):
    # gradient 2 w (x + e): mean 2 w x, variance (2 w s)^2, mean square their sum
    classifier = of(lambda x: (weights * x.square()).sum((1, 2, 3)))
    s, n = 0.05, 3000
    given = {"stdevs": s, "n_samples": n, "target": 0}
    mean = attribute(classifier, images, "noise_tunnel", reduction="none", **given).maps
    torch.testing.assert_close(mean, 2 * weights * images, rtol=0, atol=0.06)
    var = attribute(classifier, images, "noise_tunnel", mode="vargrad", **given).maps
    expected = (2 * weights * s).square().sum(0)
    torch.testing.assert_close(var, expected.expand_as(var), rtol=0.15, atol=0)
    square = attribute(classifier, images, "noise_tunnel", mode="smoothgrad_square", **given).maps
    torch.testing.assert_close(square, var + mean.square().sum(1), rtol=1e-9, atol=0)


def test_relative_noise_follows_the_range_of_each_image(weights):
    classifier = of(lambda x: (weights * x.square()).sum((1, 2, 3)))
    images = random_images() * torch.tensor([0.0, 0.2, 1.0, 1.0])[:, None, None, None]
    found = noise_tunnel(classifier, images, 0, mode="vargrad", noise=0.3, n_samples=2000)
    span = (images.amax((1, 2, 3)) - images.amin((1, 2, 3)))[:, None, None]
    expected = (2 * weights * 0.3).square().sum(0) * span.square()
    torch.testing.assert_close(found, expected, rtol=0.2, atol=0)
    assert found[0].abs().max() == 0  # a constant image has no range, so no noise


class TwoUnits(nn.Module):
    """y_0 = sum of squares of the red channel, y_1 = sum of green cubed; f = 3 y_0 - y_1^2 / 9."""

    def __init__(self):
        super().__init__()
        self.units = Units()

    def forward(self, x):
        y = self.units(x).flatten(1)
        f = 3 * y[:, 0] - y[:, 1].square() / 9
        return torch.stack([f, torch.zeros_like(f)], dim=1)


class Units(nn.Module):
    def forward(self, x):
        red, green = x[:, 0].square().sum((1, 2)), x[:, 1].pow(3).sum((1, 2))
        return torch.stack([red, green], dim=1)


def test_conductance_of_two_units(images):
    classifier = Classifier(TwoUnits()).double()
    y = Units()(images)
    units = layer_conductance(classifier, images, 0, layer="units", n_steps=3, reduction="none")
    # f is quadratic in y: exact with any number of steps, however curved y is in x
    torch.testing.assert_close(units[:, 0], 3 * y[:, 0])
    torch.testing.assert_close(units[:, 1], -y[:, 1].square() / 9)
    for index in (0, 1):
        found = neuron_conductance(
            classifier, images, 0, layer="units", neuron_index=index, n_steps=4, reduction="none"
        )
        torch.testing.assert_close(found.flatten(1).sum(1), units[:, index])
        assert found[:, [c for c in range(3) if c != index]].abs().max() == 0
    whole = integrated_gradients(classifier, images, 0, n_steps=4, reduction="none")
    parts = sum(
        neuron_conductance(
            classifier, images, 0, layer="units", neuron_index=i, n_steps=4, reduction="none"
        )
        for i in (0, 1)
    )
    torch.testing.assert_close(parts, whole)
