"""Known densities, a planted rare mode and a world without one."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from sundog.data.arrays import from_arrays
from sundog.data.load import load_image_set
from sundog.models.feature_table import forward_features
from sundog.models.train import train_classifier
from sundog.risk.estimator import Passed
from sundog.risk.histogram_vae import HistogramVAE
from sundog.risk.vae_recipe import HistogramVAETraining


def on_latents(rows, **options):
    estimator = HistogramVAE(latent_dim=rows.shape[1], **options)
    estimator.build(features=4, classes=2, image_size=(8, 8))
    estimator.refill(rows)
    return estimator


@pytest.mark.parametrize(("bins", "least"), [(5, 0.80), (10, 0.92)])
def test_the_density_of_a_gaussian_is_ranked(bins, least):
    random = np.random.default_rng(1)
    rows, new = torch.from_numpy(random.normal(size=(2, 4000, 32))).float()
    estimator = on_latents(rows, num_bins=bins)
    truth = -0.5 * new.double().square().sum(dim=1)
    assert stats.spearmanr(estimator.log_density(new), truth).statistic >= least


def test_in_a_world_without_groups_no_group_is_rare():
    random = np.random.default_rng(2)
    estimator = on_latents(torch.from_numpy(random.normal(size=(3000, 8))).float())
    low = 0
    for _ in range(200):
        values = torch.from_numpy(random.normal(size=(200, 8))).float()
        density = estimator.log_density(values).numpy()
        group = random.permutation(200) < 100  # means nothing
        low += stats.mannwhitneyu(density[group], density[~group]).pvalue < 0.05
    assert stats.binom.sf(low - 1, 200, 0.05) > 0.001
    assert stats.binom.cdf(low, 200, 0.05) > 0.001


def test_a_latent_without_variance_changes_nothing():
    random = np.random.default_rng(3)
    rows = torch.from_numpy(random.normal(size=(500, 3))).float()
    dead = torch.cat([rows, 1e-3 * torch.randn(500, 2)], dim=1)
    alone, both = on_latents(rows), on_latents(dead)
    torch.testing.assert_close(both.log_density(dead), alone.log_density(rows))
    assert both.active_latents.tolist() == [0, 1, 2]


def tinted(colours, seed=4):
    """Digits 0 and 1; ones are common in blue, and a few of them red."""
    digits = load_image_set("digits", split="train", limit=2000, seed=seed)
    chosen = np.flatnonzero(digits.labels < 2)
    grey = np.stack([digits.image(i) for i in chosen]).astype(np.float64) / 255
    pixels = (grey * np.array(colours)[:, None, None, :]).clip(0, 1)
    return (pixels * 255).astype(np.uint8), digits.labels[chosen]


BLUE, RED = (0.1, 0.2, 1.0), (1.0, 0.2, 0.1)


@pytest.fixture(scope="module")
def run():
    torch.set_num_threads(1)
    pixels, labels = tinted([BLUE] * 400)
    reds, _ = tinted([RED] * 400)
    rare = np.zeros(len(labels), dtype=bool)
    rare[np.flatnonzero(labels == 1)[:8]] = True
    pixels[rare] = reds[rare]
    images = from_arrays(pixels, labels, ("zero", "one"))
    recipe = HistogramVAETraining(HistogramVAE(latent_dim=8, target_class=1, filters=6))
    trained = train_classifier(
        "small-cnn", images, epochs=12, recipe=recipe, device="cpu", progress=False, batch_size=32
    )
    return images, rare, recipe, trained


def score(recipe, classifier, pixels):
    batch = next(from_arrays(pixels).batches(size=None, batch_size=len(pixels)))
    with torch.no_grad():
        features, logits = forward_features(classifier, batch.images)
    return recipe.fitted().score(Passed(features, logits, images=batch.images))


def test_a_planted_rare_mode_is_found_by_representation_and_by_reconstruction(run):
    images, rare, recipe, trained = run
    pixels = np.stack([images.image(i) for i in range(len(images))])
    found = score(recipe, trained.classifier, pixels)
    ones = images.labels == 1
    assert roc_auc_score(rare[ones], -found["representation"][ones]) > 0.95
    assert roc_auc_score(rare[ones], found["epistemic"][ones]) > 0.6


def test_negatives_are_classified_and_scored(run):
    images, _, _, trained = run
    pixels = np.stack([images.image(i) for i in range(len(images))])
    batch = next(from_arrays(pixels).batches(size=None, batch_size=len(pixels)))
    right = trained.classifier.predict(batch.images).argmax(dim=1).numpy() == images.labels
    assert right[images.labels == 0].mean() > 0.9
    assert right[images.labels == 1].mean() > 0.9


def test_the_densities_of_the_recipe_are_those_of_the_scorer_and_a_bgr_scorer_is_caught(run):
    images, _, recipe, trained = run
    pixels = np.stack([images.image(i) for i in range(len(images))])
    ones = images.labels == 1
    right, swapped = (
        score(recipe, trained.classifier, p)["representation"].numpy()[ones]
        for p in (pixels, np.ascontiguousarray(pixels[..., ::-1]))
    )
    own = recipe.log_density().sum(axis=1)[ones]
    np.testing.assert_allclose(right, own, rtol=1e-5)
    # The lab computes its probabilities on 0..255 BGR images: most images become rare ones.
    assert not np.allclose(swapped, own, rtol=1e-2)
    assert np.median(swapped) < np.quantile(right, 0.1)
