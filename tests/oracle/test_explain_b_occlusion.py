"""Occlusion against a naive loop and captum, in float64."""

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sundog.explain.baselines import make_baseline
from sundog.explain.occlusion import occlusion
from sundog.models.classifier import Classifier


def make_classifier(seed: int = 0) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Linear(54, 5),
        )
    classifier = Classifier(network, mean=(0.5, 0.25, 0.5), std=(0.25, 0.5, 0.25))
    return classifier.double()


def make_images(count: int, height: int, width: int, seed: int = 1) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, height, width, generator=source, dtype=torch.float64)


@pytest.mark.parametrize(("height", "width", "cells"), [(20, 23, 6), (13, 13, 5), (7, 9, 7)])
def test_grid_equals_a_naive_loop(height, width, cells):
    classifier, images = make_classifier(), make_images(3, height, width)
    target = classifier.predict(images).argmax(1)
    expected = torch.zeros(3, cells, cells, dtype=torch.float64)
    for n in range(3):
        clean = classifier.predict(images[n : n + 1]).softmax(1)[0, target[n]]
        for i in range(cells):
            for j in range(cells):
                covered = images[n : n + 1].clone()
                rows = slice(int(i * height / cells), int((i + 1) * height / cells))
                columns = slice(int(j * width / cells), int((j + 1) * width / cells))
                covered[:, :, rows, columns] = 0
                occluded = classifier.predict(covered).softmax(1)[0, target[n]]
                expected[n, i, j] = clean - occluded
    small = occlusion(classifier, images, grid=cells, resized=False)
    torch.testing.assert_close(small, expected, rtol=0, atol=1e-13)
    large = occlusion(classifier, images, grid=cells)
    resized = F.interpolate(expected[None], size=(height, width), mode="bilinear")[0]
    torch.testing.assert_close(large, resized, rtol=0, atol=1e-13)


def test_cells_of_the_practical_are_37_or_38_pixels():
    images = make_images(1, 224, 224)
    # A scalar that counts what is left of a white image shows the area of each cell.
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).double()
    network[2].weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 0]], dtype=torch.float64)
    network[2].bias.data.zero_()
    classifier = Classifier(network)
    areas = occlusion(classifier, torch.ones_like(images), 0, grid=6, resized=False, output="logit")
    sides = torch.tensor([37, 37, 38, 37, 37, 38], dtype=torch.float64)
    expected = sides[:, None] * sides / 224**2
    torch.testing.assert_close(areas[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("output", ["logit", "probability", "log_probability"])
def test_sliding_window_equals_captum(output):
    classifier, images = make_classifier(), make_images(2, 17, 15)
    target = classifier.predict(images).argmax(1)

    def scores(x):
        logits = classifier(x)
        return {
            "logit": logits,
            "probability": logits.softmax(1),
            "log_probability": logits.log_softmax(1),
        }[output]

    found = occlusion(classifier, images, window=(5, 4), stride=(3, 2), output=output)
    expected = captum.attr.Occlusion(scores).attribute(
        images, sliding_window_shapes=(3, 5, 4), strides=(3, 3, 2), target=target, baselines=0
    )
    # captum accumulates in float32.
    torch.testing.assert_close(found, expected[:, 0].double(), rtol=1e-5, atol=1e-7)


def test_grid_equals_captum_feature_ablation():
    classifier, images = make_classifier(), make_images(2, 16, 16)
    target = classifier.predict(images).argmax(1)
    cell = torch.arange(16) * 5 // 16
    # Pixel p is in the cell i with int(i 16 / 5) <= p < int((i + 1) 16 / 5).
    edges = torch.tensor([int(i * 16 / 5) for i in range(1, 5)])
    cell = torch.bucketize(torch.arange(16), edges, right=True)
    mask = (cell[:, None] * 5 + cell)[None, None].expand(1, 3, 16, 16)
    fill = make_baseline(images, "blur")
    expected = captum.attr.FeatureAblation(classifier.probabilities).attribute(
        images, baselines=fill, target=target, feature_mask=mask
    )
    found = occlusion(classifier, images, grid=5, baseline="blur", resized=False)
    per_cell = expected[:, 0][:, [int(i * 16 / 5) for i in range(5)]]
    per_cell = per_cell[:, :, [int(i * 16 / 5) for i in range(5)]]
    torch.testing.assert_close(found, per_cell, rtol=1e-7, atol=1e-8)


def test_one_pixel_windows_of_a_linear_model_are_weight_times_input():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 5 * 4, 2)).double()
    classifier, images = Classifier(network), make_images(2, 5, 4)
    found = occlusion(classifier, images, 1, window=1, output="logit")
    weight = network[1].weight[1].reshape(3, 5, 4)
    torch.testing.assert_close(found, (images * weight).sum(1).detach(), rtol=0, atol=1e-13)
    # Larger, overlapping windows: the mean over the windows that cover a pixel.
    whole = occlusion(classifier, images, 1, window=(5, 4), output="logit")
    total = (images * weight).sum((1, 2, 3)).detach()
    torch.testing.assert_close(whole, total[:, None, None].expand(2, 5, 4), rtol=0, atol=1e-13)


def test_independent_of_batch_and_budget():
    classifier, images = make_classifier(), make_images(4, 12, 12)
    together = occlusion(classifier, images, grid=4)
    alone = torch.cat([occlusion(classifier, images[n : n + 1], grid=4) for n in range(4)])
    tight = occlusion(classifier, images, grid=4, budget=1)
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-13)
    torch.testing.assert_close(tight, together, rtol=0, atol=1e-13)
