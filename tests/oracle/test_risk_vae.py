"""Terms of the VAE, its queue and its histograms against slow re-implementations in float64."""

import math
from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import Normal, kl_divergence

from sundog.core.seeds import generator
from sundog.risk.decoder import Decoder, FaceDecoder, derive_decoder
from sundog.risk.estimator import Passed
from sundog.risk.feature_queue import FeatureQueue
from sundog.risk.histogram_vae import HistogramVAE
from sundog.risk.latent_histogram import latent_histogram
from sundog.risk.vae import VAE
from sundog.risk.vae_network import draw_latent, kl_to_prior, reconstruction_error


def draw(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed, "test"))


def passed(count=6, features=5, size=8, seed=0):
    images = torch.rand((count, 3, size, size), generator=generator(seed, "images"))
    return Passed(draw(count, features, seed=seed), draw(count, 2, seed=seed + 1), images=images)


def built(estimator, *, features=5, size=8, seed=3):
    return estimator.build(features=features, classes=2, image_size=(size, size), seed=seed)


# terms


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.floats(0.1, 3))
def test_the_divergence_is_the_closed_form_of_torch_distributions(seed, latent, spread):
    mu = (spread * draw(4, latent, seed=seed)).double()
    s = (spread * draw(4, latent, seed=seed + 1)).double()
    prior = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    expected = kl_divergence(Normal(mu, (0.5 * s).exp()), prior).sum(dim=1)
    found = kl_to_prior(mu, s)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert bool((found >= -1e-12).all())


def test_the_divergence_agrees_with_a_monte_carlo_estimate_from_the_draws():
    # The seed's port drew with exp(s) and diverged with exp(s / 2): this tells the two apart.
    mu, s = torch.tensor([[0.7, -0.4]]), torch.tensor([[1.2, -0.8]])
    many = draw_latent(mu.expand(400_000, 2), s.expand(400_000, 2), generator(1, "z")).double()
    posterior = Normal(mu.double(), (0.5 * s.double()).exp())
    ratio = (posterior.log_prob(many) - Normal(0.0, 1.0).log_prob(many)).sum(dim=1)
    error = float(ratio.std() / math.sqrt(len(ratio)))
    assert abs(float(ratio.mean()) - float(kl_to_prior(mu, s))) < 4 * error
    torch.testing.assert_close(many.var(dim=0), s.double().exp()[0], rtol=0.02, atol=0)


def test_the_divergence_is_zero_at_the_prior_alone():
    assert float(kl_to_prior(torch.zeros(1, 4), torch.zeros(1, 4))) == 0
    assert float(kl_to_prior(torch.zeros(1, 4), torch.full((1, 4), 0.1))) > 0


@pytest.mark.parametrize("error", ["absolute", "squared"])
def test_reconstruction_errors(error):
    a, b = torch.rand(3, 3, 4, 5), torch.rand(3, 3, 4, 5)
    difference = (a - b).double().numpy()
    power = np.abs(difference) if error == "absolute" else difference**2
    found = reconstruction_error(a, b, error=error)
    np.testing.assert_allclose(found, power.mean(axis=(1, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("error", ["absolute", "squared"])
@pytest.mark.parametrize("target", [None, 1])
def test_the_loss_is_the_sources_formula(error, target):
    estimator = HistogramVAE(
        latent_dim=3, target_class=target, error=error, kl_weight=0.03, queue_size=4
    )
    parts = built(estimator)
    vae = parts["vae"]
    nn.init.normal_(vae.log_variance.weight, std=0.5, generator=generator(8, "s"))
    batch, labels = passed(), torch.tensor([1, 0, 1, -1, 0, 1])
    parts.train()
    found = estimator.loss(batch, labels, generator(5, "draw"))
    # After the first batch the features are scaled by the statistics of the batch itself.
    rows = [i for i in range(6) if target is None or labels[i] == target]
    features = batch.features.double().numpy()[rows]
    mean = features.mean(axis=0)
    size = math.sqrt(((features - mean) ** 2).mean())
    scaled = (features - mean) / size
    weights = {k: v.detach().double().numpy() for k, v in vae.state_dict().items()}
    noise = torch.randn((len(rows), 3), generator=generator(5, "draw"))
    divergence, latents = 0.0, []
    for place in range(len(rows)):
        mu = weights["mu.weight"] @ scaled[place] + weights["mu.bias"]
        raw = weights["log_variance.weight"] @ scaled[place] + weights["log_variance.bias"]
        s = 20 * np.tanh(raw / 20)
        latents.append(mu + np.exp(s / 2) * noise[place].double().numpy())
        divergence += 0.5 * sum(math.exp(s[k]) + mu[k] ** 2 - 1 - s[k] for k in range(3))
    with torch.no_grad():
        rebuilt = vae.decoder(torch.from_numpy(np.stack(latents)).float())
    gaps = (batch.images[rows].double() - rebuilt.double()).numpy()
    errors = np.abs(gaps) if error == "absolute" else gaps**2
    expected = (0.03 * divergence + errors.mean(axis=(1, 2, 3)).sum()) / 6
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)


def test_the_vae_term_reaches_its_own_class_alone():
    estimator = HistogramVAE(latent_dim=3, target_class=1)
    parts = built(estimator).train()
    batch = passed()
    features = batch.features.requires_grad_()
    labels = torch.tensor([1, 0, 1, -1, 0, 0])
    estimator.loss(
        Passed(features, batch.logits, images=batch.images), labels, generator(0)
    ).backward()
    reached = features.grad.abs().sum(dim=1) > 0
    assert reached.tolist() == [True, False, True, False, False, False]
    none = torch.zeros(6, dtype=torch.int64)
    parts.zero_grad()
    loss = estimator.loss(batch, none, generator(0))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(p.grad is None or float(p.grad.abs().max()) == 0 for p in parts.parameters())


# scores


def test_scores_use_the_mean_without_a_draw_and_do_not_depend_on_the_batch():
    estimator = HistogramVAE(latent_dim=3)
    vae = built(estimator)["vae"]
    estimator.refill(draw(50, 3, seed=9))
    estimator.end_fit(None)
    batch = passed(count=7)
    whole, again = estimator.score(batch), estimator.score(batch)
    for name, values in whole.items():
        assert torch.equal(values, again[name])
        single = torch.cat(
            [
                estimator.score(
                    Passed(
                        batch.features[i : i + 1],
                        batch.logits[i : i + 1],
                        images=batch.images[i : i + 1],
                    )
                )[name]
                for i in range(7)
            ]
        )
        torch.testing.assert_close(single, values, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        mu = vae.mu(vae.scale(batch.features))
        rebuilt = vae.decoder(mu)
    expected = (batch.images - rebuilt).abs().mean(dim=(1, 2, 3))
    torch.testing.assert_close(whole["epistemic"], expected, rtol=1e-5, atol=1e-6)
    density = estimator.log_density(mu)
    torch.testing.assert_close(whole["representation"], density.float())
    torch.testing.assert_close(estimator.log_density(mu, per_dimension=True).sum(dim=1), density)


def test_saved_and_loaded_scores_are_bit_equal():
    estimator = HistogramVAE(latent_dim=3, num_bins=7, target_class=1, queue_size=40)
    built(estimator)
    estimator.refill(draw(60, 3))
    estimator.end_fit(None)
    other = HistogramVAE(**estimator.settings())
    holder = other.build(features=5, classes=2, image_size=(32, 32), seed=99)  # another size
    assert not other.fitted
    other.load_tensors(estimator.tensors())
    batch = passed()
    ours, theirs = other.score(batch), estimator.score(batch)
    assert other.fitted
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    # What build() returned holds the loaded weights: it is what moves to another device.
    assert torch.equal(holder["vae"].mu.weight, estimator.tensors()["network.mu.weight"])


def test_the_start_depends_on_the_seed_and_not_on_the_global_generator():
    before = torch.get_rng_state()
    first, again, other = (built(VAE(latent_dim=3), seed=s) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    weights = [torch.cat([p.flatten() for p in x.parameters()]) for x in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_large_features_do_not_overflow():
    estimator = VAE(latent_dim=4)
    parts = built(estimator).train()
    batch = passed()
    huge = Passed(batch.features * 1e6, batch.logits, images=batch.images)
    loss = estimator.loss(huge, torch.zeros(6, dtype=torch.int64), generator(0))
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert all(bool(torch.isfinite(p.grad).all()) for p in parts.parameters())


# decoder


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 70), st.integers(2, 70), st.integers(1, 4))
def test_a_derived_decoder_makes_images_of_any_size(height, width, latent):
    decoder = derive_decoder(latent, (height, width), filters=1)
    made = decoder(torch.zeros(2, latent)).detach()
    assert made.shape == (2, 3, height, width)
    assert float(made.min()) >= 0
    assert float(made.max()) <= 1


def test_the_face_decoder_has_the_seeds_shapes():
    decoder = FaceDecoder()
    shapes = [tuple(m.weight.shape) for m in decoder.layers if isinstance(m, nn.ConvTranspose2d)]
    assert shapes == [
        (96, 72, 3, 3), (72, 48, 3, 3), (48, 24, 3, 3), (24, 12, 5, 5), (12, 3, 5, 5),
    ]  # fmt: skip
    assert tuple(decoder.linear.weight.shape) == (2 * 2 * 8 * 12, 32)
    maps, hooks = [], []
    for module in decoder.layers:
        if isinstance(module, nn.ConvTranspose2d):
            hooks.append(
                module.register_forward_hook(lambda _m, _i, out: maps.append(out.shape[2]))
            )
    decoder(torch.zeros(1, 32))
    assert maps == [4, 8, 16, 32, 64]
    derived = derive_decoder(32, (64, 64))
    assert isinstance(derived, Decoder)
    assert [p.shape for p in derived.parameters()] == [p.shape for p in decoder.parameters()]


# queue


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.lists(st.integers(0, 9), max_size=8))
def test_the_queue_is_first_in_first_out_and_knows_its_fill(size, pushes):
    queue, expected, number = FeatureQueue(size, 2), deque(maxlen=size), 0
    assert queue.rows().shape == (0, 2)  # nothing was pushed: no zeros
    for count in pushes:
        rows = torch.arange(number, number + count).float()[:, None].repeat(1, 2) + 1
        number += count
        queue.push(rows)
        expected.extend(rows[:, 0].tolist())
        assert len(queue) == len(expected)
        assert queue.full == (len(expected) == size)
        assert queue.rows()[:, 0].tolist() == list(expected)


def test_refilling_draws_from_all_rows_not_from_the_last():
    queue = FeatureQueue(100, 1)
    queue.push(torch.full((3, 1), -1.0))
    rows = torch.arange(1000).float()[:, None]
    queue.refill(rows, seed=4)
    kept = queue.rows()[:, 0]
    assert len(queue) == 100
    assert len(kept.unique()) == 100
    assert float(kept.min()) >= 0
    assert 350 < float(kept.mean()) < 650
    other = FeatureQueue(100, 1)
    other.refill(rows, seed=4)
    assert torch.equal(other.rows(), queue.rows())


# histogram


def slow_log_shares(rows, values, bins, smoothing):
    rows, values = rows.tolist(), values.tolist()
    out = []
    for value in values:
        line = []
        for k in range(len(rows[0])):
            column = [row[k] for row in rows]
            mean = sum(column) / len(column)
            if sum((x - mean) ** 2 for x in column) / (len(column) - 1) < 0.01:
                line.append(0.0)
                continue
            low, high = min(column), max(column)

            def place(x, low=low, high=high):
                if x < low or x > high:
                    return None
                return min(bins - 1, math.floor((x - low) / (high - low) * bins))

            where = place(value[k])
            count = 0 if where is None else sum(place(x) == where for x in column)
            line.append(math.log((count + smoothing) / (len(column) + smoothing * (bins + 2))))
        out.append(line)
    return np.array(out)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.floats(0.01, 5), st.integers(2, 40))
def test_histograms_equal_a_slow_count(seed, bins, smoothing, count):
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 3)) * [1, 0.01, 100]
    values = np.concatenate([rows, 3 * random.normal(size=(5, 3))])
    made = latent_histogram(torch.from_numpy(rows), bins=bins, smoothing=smoothing)
    found = made.log_shares(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(found, slow_log_shares(rows, values, bins, smoothing), rtol=1e-12)
    assert (made.counts.sum(dim=1) == count).all()


def test_probabilities_of_all_bins_sum_to_one():
    rows = draw(30, 1).double()
    made = latent_histogram(rows, bins=5, smoothing=0.5)
    low, high = float(rows.min()), float(rows.max())
    centres = [low + (i + 0.5) * (high - low) / 5 for i in range(5)]
    values = torch.tensor([low - 1, *centres, high + 1], dtype=torch.float64)[:, None]
    assert float(made.log_shares(values).exp().sum()) == pytest.approx(1, rel=1e-12)


def test_an_empty_part_of_the_queue_leaves_no_trace():
    # Capsa's queue starts as zeros, which then look like the most common latent of all.
    full, part = HistogramVAE(latent_dim=2, queue_size=50), HistogramVAE(latent_dim=2)
    rows = draw(50, 2) + 30
    for estimator in (full, part):
        built(estimator)
        estimator.push(rows)
    values = torch.cat([rows, torch.zeros(1, 2)])
    torch.testing.assert_close(full.log_density(values), part.log_density(values))
    density = part.log_density(values)
    assert float(density[-1]) < float(density[:-1].min()) + 1e-12
    assert part.queue.size == 20_000
    assert len(part.queue) == 50


def test_the_outermost_rows_are_inside_whatever_their_rounding():
    """A training image at the end of the range is not foreign because its batch was another."""
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 2
    histogram = latent_histogram(rows, bins=5)
    own = histogram.log_shares(rows)
    for change in (1e-6, -1e-6):
        assert torch.equal(histogram.log_shares(rows + change), own)
    beyond = torch.stack([rows.min(dim=0).values - 0.1, rows.max(dim=0).values + 0.1])
    foreign = torch.tensor(1 / (50 + 7), dtype=torch.float64).log()
    assert torch.allclose(histogram.log_shares(beyond), foreign)


def test_a_hundred_latents_do_not_underflow():
    estimator = HistogramVAE(latent_dim=100, num_bins=5)
    built(estimator)
    rows = draw(4000, 100)
    estimator.refill(rows)
    density = estimator.log_density(rows)
    assert density.dtype == torch.float64
    assert float(density.max()) < -60
    assert float(torch.exp(density.float()).max()) < 1e-25  # what float32 would be left with
    assert len(density.unique()) > 3900
