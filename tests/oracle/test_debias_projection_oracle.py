"""The projection against a singular value decomposition, and the folded head against the steps."""

import numpy as np
import pytest
import torch
from torch import nn

from sundog.debias.projection import cue_directions, projection
from sundog.debias.scaling import Scaling
from sundog.debias.softmax_regression import softmax_regression
from sundog.models.classifier import Classifier
from sundog.models.feature_table import forward_features, table_from_arrays
from sundog.models.head import read_head


def pairs(n=60, d=9, rank=3, seed=0):
    rng = np.random.default_rng(seed)
    clean = rng.normal(size=(n, d)).astype(np.float32)
    moved = clean + (rng.normal(size=(n, rank)) * [5, 2, 1][:rank]) @ rng.normal(size=(rank, d))
    logits = np.zeros((n, 2), np.float32)
    return table_from_arrays(moved, logits), table_from_arrays(clean, logits)


def test_directions_are_the_right_singular_vectors():
    with_cue, without = pairs()
    difference = with_cue.features.numpy().astype(float) - without.features.numpy()
    _, values, rows = np.linalg.svd(difference, full_matrices=False)
    found = cue_directions(with_cue, without, directions=3)
    for ours, theirs in zip(found.vectors, rows, strict=False):
        assert abs(ours @ theirs) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(found.shares, (values**2 / (values**2).sum())[:3], atol=1e-12)
    np.testing.assert_allclose(found.centre, without.features.numpy().mean(0), atol=1e-6)


def test_the_differences_span_no_more_than_their_rank():
    with_cue, without = pairs(rank=2)
    found = cue_directions(with_cue, without, directions=8)
    assert len(found.vectors) == 2
    assert found.shares.sum() == pytest.approx(1)
    moved, clean = (found.project(t.features.numpy()) for t in (with_cue, without))
    np.testing.assert_allclose(moved, clean, atol=1e-5)  # the cue has no effect any more
    fit = projection(
        table_from_arrays(with_cue.features, np.zeros((60, 2)), np.arange(60) % 2),
        with_cue,
        without,
    )
    assert "span 2 directions" in fit.warnings[0]


def test_auto_takes_as_few_as_hold_95_percent():
    with_cue, without = pairs(n=400, d=30)
    difference = with_cue.features.numpy().astype(float) - without.features.numpy()
    shares = np.cumsum(np.linalg.svd(difference, compute_uv=False) ** 2)
    wanted = int((shares / shares[-1] < 0.95).sum()) + 1
    assert len(cue_directions(with_cue, without, directions="auto").vectors) == wanted


def test_auto_takes_16_of_differences_without_a_direction():
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(500, 60))
    logits = np.zeros((500, 2))
    with_cue = table_from_arrays(clean + rng.normal(size=clean.shape), logits)
    found = cue_directions(with_cue, table_from_arrays(clean, logits), directions="auto")
    assert len(found.vectors) == 16


def test_the_folded_head_equals_projection_scaling_and_head_in_turn():
    with_cue, without = pairs(n=80)
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 200)
    features = rng.normal(size=(200, 9)) + rng.normal(size=(3, 9))[y]
    table = table_from_arrays(features, np.zeros((200, 3)), y)
    fit = projection(table, with_cue, without, directions=2, strength=0.5)
    space = cue_directions(with_cue, without, directions=2)
    x = space.project(table.features.numpy())
    scaling = Scaling.of(x)  # no feature lies in the subspace alone
    found = softmax_regression(scaling.apply(x), y, classes=3, decay=1 / (0.5 * 200))
    stepwise = scaling.apply(x) @ found.weight.T + found.bias
    np.testing.assert_allclose(fit.logits(table), stepwise, atol=1e-9)
    # A head that ignores the directions: adding any of them changes nothing.
    shifted = table.features.numpy() + rng.normal(size=(200, 2)) @ space.vectors * 100
    np.testing.assert_allclose(fit.logits(shifted), fit.logits(table), atol=1e-8)


class Net(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(8, outputs)

    def forward(self, images):
        return self.head(self.body(images).flatten(1))


@pytest.mark.parametrize("output", ["logits", "binary_logit"])
def test_the_fit_in_the_classifier_equals_explicit_projection_of_its_features(output):
    torch.manual_seed(0)
    net = Net(3 if output == "logits" else 1)
    classifier = Classifier(
        net, output=output, input_size=(12, 12), feature_layer="network.head:input"
    )
    head = read_head(classifier)
    images = torch.rand(20, 3, 12, 12)
    with torch.no_grad():
        clean, logits = forward_features(classifier, images)
        cued = images.clone()
        cued[:, 0, :4, :4] = 1
        moved, _ = forward_features(classifier, cued)
    without, with_cue = table_from_arrays(clean, logits), table_from_arrays(moved, logits)
    fit = projection(without, with_cue, without, directions=1, refit=False, head=head)
    changed = fit.apply(classifier)
    space = cue_directions(with_cue, without, directions=1)
    explicit = space.project(moved) @ head.weight.numpy().T.astype(float) + head.bias.numpy()
    with torch.no_grad():
        made = changed.probabilities(cued).numpy()
        kept = classifier(images)
    wanted = np.exp(explicit) / np.exp(explicit).sum(1, keepdims=True)
    np.testing.assert_allclose(made, wanted, atol=1e-5)
    torch.testing.assert_close(kept, logits)  # the original stays as it was
    assert "drift" in fit.warnings[-1]
