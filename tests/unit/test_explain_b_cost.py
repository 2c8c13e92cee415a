"""DeepLIFT through the front door: no pass too many, none uncounted, and an honest gap."""

import pytest
import torch
from torch import nn

from sundog.explain.attribute import attribute, attribute_many
from sundog.models.classifier import Classifier

IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def make_classifier():
    torch.manual_seed(1)
    return Classifier(
        nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 4)
        )
    )


@pytest.fixture
def seen():
    """Return a classifier and the rows that its network really saw."""
    classifier, rows = make_classifier(), []
    classifier.network.register_forward_pre_hook(lambda _m, inputs: rows.append(len(inputs[0])))
    return classifier, rows


@pytest.mark.parametrize(
    ("name", "references"), [("deep_lift", ("black",)), ("deep_lift_shap", ("black", 0.5, "white"))]
)
@pytest.mark.parametrize("target", [None, 1, torch.tensor([0, 1, 2, 3, 0])])
def test_one_pass_per_image_and_reference(seen, name, references, target):
    classifier, rows = seen
    found = attribute(classifier, IMAGES, name, target=target, baseline=list(references))
    # Each reference once, the first once more without recording, to see that recording is right.
    assert sum(rows) == len(IMAGES) + len(references) + 1
    assert found.forwards == sum(rows) / len(IMAGES)
    assert found.backwards == len(references)


def test_the_gap_is_the_sum_minus_the_difference():
    classifier = make_classifier()
    found = attribute(classifier, IMAGES, "deep_lift", baseline="blur", output="log_probability")
    from sundog.explain.baselines import make_baseline

    score = classifier(IMAGES).log_softmax(1).gather(1, found.target[:, None])[:, 0]
    base = classifier(make_baseline(IMAGES, "blur")).log_softmax(1)
    promised = score - base.gather(1, found.target[:, None])[:, 0]
    gap = found.maps.sum(dim=(1, 2)) - promised.detach()
    torch.testing.assert_close(found.completeness_gap, gap, rtol=0, atol=2e-6)
    torch.testing.assert_close(found.logits, classifier(IMAGES).detach())
    assert torch.equal(found.target, classifier(IMAGES).argmax(1))


def test_the_classes_come_from_its_passes_for_the_methods_after_it(seen):
    classifier, rows = seen
    found = attribute_many(
        classifier,
        IMAGES,
        {"a": ("deep_lift", {}), "b": ("occlusion", {"grid": 2}), "c": ("deep_lift", {})},
    )
    assert list(found) == ["a", "b", "c"]
    assert found["a"].backwards == found["c"].backwards == 1
    assert found["b"].forwards == 4
    measured = 3  # one row for the budget, two for the memory layout, once per network
    counted = sum(found[k].forwards for k in "abc") * len(IMAGES)
    assert sum(rows) == round(counted) + measured
    expected = attribute(classifier, IMAGES, "occlusion", grid=2)
    torch.testing.assert_close(found["b"].maps, expected.maps)


def test_noise_tunnel_counts_the_rows_of_deep_lift():
    found = attribute(
        make_classifier(), IMAGES, "noise_tunnel", inner="deep_lift", n_samples=3, mode="vargrad"
    )
    assert found.backwards == 3
