"""Unusual but legal tensors give the right map; what would silently give a wrong one is refused."""

import pytest
import torch
from torch import nn

from sundog.core.errors import InputError
from sundog.core.seeds import image_generator
from sundog.explain.attribute import attribute
from sundog.explain.integrated_gradients import integrated_gradients
from sundog.explain.registry import METHODS
from sundog.models.budget import bytes_per_image
from sundog.models.classifier import Classifier

FAST = {
    "rise": {"n_samples": 8},
    "integrated_gradients": {"n_steps": 3},
    "layer_conductance": {"n_steps": 3},
    "neuron_conductance": {"n_steps": 3},
    "gradient_shap": {"n_samples": 3},
    "noise_tunnel": {"n_samples": 2},
    "occlusion": {"grid": 2},
}
NAMES = [name for name in METHODS if name != "attention_rollout"]
IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(5, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


CLASSIFIER = Classifier(network(), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def explain(name, images=IMAGES, classifier=CLASSIFIER, **more):
    return attribute(classifier, images, name, **FAST.get(name, {}), **more)


@pytest.mark.parametrize("name", NAMES)
def test_images_and_classes_made_in_inference_mode(name):
    expected = explain(name, target=2).maps
    with torch.inference_mode():
        found = explain(name, IMAGES.clone(), target=torch.full((3,), 2)).maps
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", [torch.tensor([0.9, 1.9, 2.9]), 1.5, torch.tensor([True] * 3)])
def test_classes_that_are_no_integers_are_refused(name, target):
    with pytest.raises(InputError, match="target must be integers, class indices"):
        explain(name, target=target)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("gradient_shap", "noise_tunnel")])
def test_images_in_float64_for_weights_in_float32(name):
    found = explain(name, IMAGES.double()).maps
    torch.testing.assert_close(found.float(), explain(name).maps, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["integrated_gradients", "occlusion", "rise", "gradient_shap"])
@pytest.mark.parametrize("baseline", [float("nan"), torch.full((3, 8, 8), torch.inf)])
def test_baselines_that_are_not_finite_are_refused(name, baseline):
    with pytest.raises(InputError, match="baseline must be finite"):
        explain(name, baseline=baseline)


def test_noise_of_images_in_half_precision():
    """The bytes of the image decide; those of float32 give what they always gave."""
    image = IMAGES[0]
    drawn = [
        torch.rand(3, generator=image_generator(one, 0, "noise"))
        for one in (image.bfloat16(), image.bfloat16().clone(), image)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    half = attribute(
        Classifier(network()).bfloat16(), IMAGES.bfloat16(), "gradient_shap", n_samples=2
    )
    assert torch.isfinite(half.maps).all()


WITH_BASELINE = [
    "integrated_gradients",
    "layer_conductance",
    "neuron_conductance",
    "deep_lift",
    "occlusion",
]


@pytest.mark.parametrize("name", WITH_BASELINE)
def test_one_baseline_per_image_for_more_images_than_one_part_holds(name):
    draw = torch.Generator().manual_seed(2)
    images, baseline = torch.rand(2, 70, 3, 8, 8, generator=draw)
    found = explain(name, images, baseline=baseline)
    apart = [explain(name, images[k], baseline=baseline[k]) for k in (slice(40), slice(40, 70))]
    torch.testing.assert_close(found.maps, torch.cat([one.maps for one in apart]))
    if found.completeness_gap is not None:
        gaps = torch.cat([one.completeness_gap for one in apart])
        torch.testing.assert_close(found.completeness_gap, gaps, rtol=1e-4, atol=1e-5)


def test_a_list_of_baselines_may_mix_both_kinds():
    draw = torch.Generator().manual_seed(2)
    images, baseline = torch.rand(2, 66, 3, 8, 8, generator=draw)
    several = ["grey", baseline, torch.zeros(3, 1, 1)]
    found = explain("integrated_gradients", images, baseline=several).maps
    expected = integrated_gradients(CLASSIFIER, images, baseline=several, n_steps=3)
    torch.testing.assert_close(found, expected)


def test_a_baseline_for_another_number_of_images_is_refused():
    """128 images in two parts of 64 must not each take the same 64 baselines."""
    images = torch.rand(128, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    with pytest.raises(InputError, match=r"broadcasts to \(128, 3, 4, 4\)"):
        attribute(CLASSIFIER, images, "integrated_gradients", n_steps=1, baseline=images[:64])


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("name", ["gradient_norm", "gradient_x_input"])
def test_tiny_and_huge_gradients_keep_their_size(name, scale):
    """The square of 1e-30 is 0 in float32; the norm is not."""
    weights = torch.randn(3 * 8 * 8, generator=torch.Generator().manual_seed(3))
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([scale * weights, 0 * weights]))
    found = attribute(Classifier(net), IMAGES, name, target=0).maps.double()
    gradient = scale * weights.double().view(3, 8, 8).expand(3, -1, -1, -1)
    factor = IMAGES.double() if name == "gradient_x_input" else 1
    expected = (factor * gradient).norm(dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_noise_tunnel_gives_each_noisy_copy_the_baseline_of_its_image(rows):
    """With as many rows in a pass as there are images, the wrong ones would fit as well."""
    baseline = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    given = {"baseline": baseline, "n_steps": 3}
    found = attribute(
        CLASSIFIER,
        IMAGES,
        "noise_tunnel",
        inner="integrated_gradients",
        inner_parameters=given,
        noise=0.0,
        n_samples=3,
        budget=rows * bytes_per_image(CLASSIFIER, IMAGES, gradient=True),
    )
    expected = attribute(CLASSIFIER, IMAGES, "integrated_gradients", **given)
    torch.testing.assert_close(found.maps, expected.maps)
