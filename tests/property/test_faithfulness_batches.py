"""The curves do not depend on batches, budgets, other images, or monotone changes of the map."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sundog.faithfulness.curve import CurveSpec
from sundog.faithfulness.deletion import deletion
from sundog.faithfulness.insertion import insertion
from sundog.faithfulness.perturbation import perturbation_curves
from sundog.models.classifier import Classifier

FILLS = ("black", "grey", "mean", "blur", "noisy_linear")


def _classifier():
    rng = torch.Generator().manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    ).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=torch.float64))
    return Classifier(net).double()


CLASSIFIER = _classifier()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 5),
    h=st.integers(1, 7),
    w=st.integers(1, 7),
    steps=st.integers(2, 12),
    fill=st.sampled_from(FILLS),
    spacing=st.sampled_from(["equal", "log"]),
    kind=st.sampled_from(["deletion", "insertion"]),
    rows=st.integers(1, 9),
    cut=st.integers(0, 5),
)
def test_batches_and_row_counts_do_not_matter(seed, n, h, w, steps, fill, spacing, kind, rows, cut):
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, h, w, generator=rng, dtype=torch.float64)
    maps = torch.randint(-2, 3, (n, h, w), generator=rng).double()
    spec = CurveSpec(kind, steps, spacing, fill)
    whole = perturbation_curves(CLASSIFIER, images, maps, spec=spec)
    parts = [
        perturbation_curves(CLASSIFIER, images[s], maps[s], spec=spec, rows=rows).values
        for s in (slice(0, cut), slice(cut, None))
        if len(images[s])
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole.values, atol=1e-12)
    # The ends are the clean image and the filled one, whichever way round.
    clean = CLASSIFIER.probabilities(images).amax(1).detach().numpy()
    ends = whole.values[:, [0, -1] if kind == "deletion" else [-1, 0]]
    np.testing.assert_allclose(ends[:, 0], clean, atol=1e-12)
    assert (whole.values >= 0).all()
    assert (whole.values <= 1).all()
    assert (whole.area <= 1 + 1e-12).all()
    # Only the order of the relevance counts.
    stretched = perturbation_curves(CLASSIFIER, images, torch.exp(3 * maps) - 7, spec=spec)
    np.testing.assert_array_equal(stretched.values, whole.values)


@settings(max_examples=20, deadline=None)
@given(pixels=st.integers(1, 5000), steps=st.integers(2, 40))
def test_chunks_are_those_of_array_split(pixels, steps):
    counts, x = CurveSpec(steps=steps).positions(pixels)
    sizes = [len(part) for part in np.array_split(np.arange(pixels), steps - 1)]
    assert np.diff(counts).tolist() == sizes
    assert counts[-1] == pixels
    assert x == pytest.approx(np.linspace(0, 1, steps))


def test_deleting_from_the_end_is_inserting_from_the_start():
    rng = torch.Generator().manual_seed(3)
    images = torch.rand(3, 3, 6, 6, generator=rng, dtype=torch.float64)
    maps = torch.rand(3, 6, 6, generator=rng)
    removed = deletion(CLASSIFIER, images, maps, steps=7, fill="mean")
    revealed = insertion(CLASSIFIER, images, -maps, steps=7, fill="mean")
    np.testing.assert_allclose(removed.values, revealed.values[:, ::-1], atol=1e-12)
