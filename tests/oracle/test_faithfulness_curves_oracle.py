"""Deletion and insertion against slow numpy versions written from the practical's text."""

import numpy as np
import pytest
import torch
from sklearn.metrics import auc
from torch import nn

from sundog.faithfulness.curve import LOG_FRACTIONS
from sundog.faithfulness.deletion import deletion
from sundog.faithfulness.insertion import insertion
from sundog.faithfulness.perturbation import relevance_ranks
from sundog.models.classifier import Classifier


def _classifier(classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, classes),
    ).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    made = Classifier(net, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)).double()
    return made.eval()


def _images(n=3, h=9, w=7, seed=1):
    return torch.rand(
        n, 3, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def _fill(image, fill):
    """image: [H, W, 3]."""
    if fill == "black":
        return np.zeros_like(image)
    if fill == "grey":
        return np.full_like(image, 0.5)
    if fill == "mean":
        return np.tile(image.mean(axis=(0, 1)), (*image.shape[:2], 1))
    height, width, _ = image.shape
    sigma = max(0.5, 0.05 * min(height, width))
    radius = max(1, int(3 * sigma + 0.5))
    out = np.zeros_like(image)
    weights = {
        (i, j): np.exp(-0.5 * (i * i + j * j) / sigma**2)
        for i in range(-radius, radius + 1)
        for j in range(-radius, radius + 1)
    }
    total = sum(weights.values())
    for y in range(height):
        for x in range(width):
            for (i, j), weight in weights.items():
                yy, xx = min(max(y + i, 0), height - 1), min(max(x + j, 0), width - 1)
                out[y, x] += weight / total * image[yy, xx]
    return out


def _softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def _probability(classifier, image, index):
    with torch.no_grad():
        logits = classifier(torch.from_numpy(image.transpose(2, 0, 1))[None])[0].numpy()
    return _softmax(logits)[index], int(logits.argmax())


def _practical(classifier, image, relevance, sections, *, kind, fill):
    """The practical's prepare_deletion and deletion_score, one image, one step at a time."""
    height, width, _ = image.shape
    filled = _fill(image, fill)
    _, index = _probability(classifier, image, 0)
    current = image.copy() if kind == "deletion" else filled.copy()
    source = filled if kind == "deletion" else image
    probabilities = [_probability(classifier, current, index)[0]]
    for section in sections:
        i, j = np.unravel_index(section, (height, width))
        current = current.copy()
        current[i, j, :] = source[i, j, :]
        probabilities.append(_probability(classifier, current, index)[0])
    return np.array(probabilities)


@pytest.mark.parametrize("kind", ["deletion", "insertion"])
@pytest.mark.parametrize("fill", ["black", "grey", "mean", "blur"])
@pytest.mark.parametrize("steps", [2, 5, 10])
def test_equal_chunks_follow_the_practical(kind, fill, steps):
    classifier, images = _classifier(), _images()
    # Few distinct values, so that the order of ties matters.
    maps = torch.randint(-3, 4, (3, 9, 7), generator=torch.Generator().manual_seed(2)).double()
    function = deletion if kind == "deletion" else insertion
    got = function(classifier, images, maps, steps=steps, fill=fill)
    for k in range(3):
        indices = np.argsort(maps[k].numpy().flatten(), kind="stable")[::-1]
        want = _practical(
            classifier,
            images[k].permute(1, 2, 0).numpy(),
            maps[k],
            np.array_split(indices, steps - 1),
            kind=kind,
            fill=fill,
        )
        assert got.values[k] == pytest.approx(want, abs=1e-10)
        assert got.area[k] == pytest.approx(auc(np.linspace(0, 1, steps), want), abs=1e-10)
    assert np.isnan(got.log_area).all()


@pytest.mark.parametrize("kind", ["deletion", "insertion"])
def test_log_spacing_changes_the_stated_shares(kind):
    classifier, images = _classifier(), _images(2, 40, 30)
    maps = torch.rand(2, 40, 30, generator=torch.Generator().manual_seed(3))
    function = deletion if kind == "deletion" else insertion
    got = function(classifier, images, maps, spacing="log", fill="mean")
    counts = np.floor(np.array(LOG_FRACTIONS) * 1200 + 0.5).astype(int)
    assert counts.tolist() == [0, 1, 1, 3, 6, 12, 24, 60, 120, 300, 600, 1200]
    for k in range(2):
        indices = np.argsort(maps[k].numpy().flatten(), kind="stable")[::-1]
        sections = np.split(indices, counts[1:-1])
        want = _practical(
            classifier,
            images[k].permute(1, 2, 0).numpy(),
            maps[k],
            sections,
            kind=kind,
            fill="mean",
        )
        assert got.values[k] == pytest.approx(want, abs=1e-10)
        assert got.area[k] == pytest.approx(auc(counts / 1200, want), abs=1e-10)
        shares = np.log10(counts[1:] / 1200)
        assert got.log_area[k] == pytest.approx(
            auc(shares, want[1:]) / (shares[-1] - shares[0]), abs=1e-10
        )


class _Linear(nn.Module):
    """Logits (w . x, 0)."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images):
        z = (images * self.weight).flatten(1).sum(1)
        return torch.stack([z, torch.zeros_like(z)], dim=1)


def test_a_linear_model_loses_the_cumulative_sum_of_its_relevance():
    weight = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(4)).double()
    classifier, images = Classifier(_Linear(weight)).double(), _images(2, 8, 8)
    relevance = (images * weight).sum(dim=1)
    got = deletion(classifier, images, relevance, steps=65, output="logit", target=0)
    for k in range(2):
        ordered = np.sort(relevance[k].detach().numpy().flatten())[::-1]
        want = ordered.sum() - np.concatenate([[0], np.cumsum(ordered)])
        assert got.values[k] == pytest.approx(want, abs=1e-9)
    # No order does better than the true relevance of a linear model.
    other = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(5)).double()
    worse = deletion(classifier, images, other, steps=65, output="logit", target=0)
    assert (got.area < worse.area).all()
    assert got.spec.target == "given"


def test_random_orders_of_a_linear_model_average_to_the_straight_line():
    weight = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(6)).double()
    classifier, image = Classifier(_Linear(weight)).double(), _images(1, 6, 6)
    maps = torch.rand(4000, 6, 6, generator=torch.Generator().manual_seed(7))
    got = deletion(
        classifier, image.expand(4000, -1, -1, -1), maps, steps=5, output="logit", target=0
    )
    clean = float((image * weight).sum())
    spread = got.values.std(axis=0).max() / np.sqrt(4000)
    assert got.values.mean(axis=0) == pytest.approx(
        clean * (1 - np.linspace(0, 1, 5)), abs=5 * spread
    )


def test_ties_go_from_the_last_pixel_to_the_first():
    ranks = relevance_ranks(torch.tensor([[[1.0, 2.0], [2.0, 1.0]]]))
    assert ranks.tolist() == [[[3, 1], [0, 2]]]
    constant = relevance_ranks(torch.zeros(1, 2, 3))
    assert constant.flatten().tolist() == [5, 4, 3, 2, 1, 0]


def test_outputs_are_logit_probability_and_its_logarithm():
    classifier, images = _classifier(), _images()
    maps = images.sum(dim=1)
    curves = {
        output: deletion(classifier, images, maps, steps=4, output=output)
        for output in ("probability", "log_probability", "logit")
    }
    assert np.log(curves["probability"].values) == pytest.approx(
        curves["log_probability"].values, abs=1e-10
    )
    logits = classifier.predict(images)
    assert curves["logit"].values[:, 0] == pytest.approx(logits.amax(1).numpy(), abs=1e-12)
