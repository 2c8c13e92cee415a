"""Splits, noisy logits and evidence against slow sums, quadrature and sampling."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import beta, dirichlet, entropy, norm

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.models.head import Head
from sundog.risk.estimator import Passed
from sundog.risk.evidential import (
    Evidential,
    divergence_from_uniform,
    evidential_fit,
    expected_entropy,
)
from sundog.risk.information import RunningSplit, split_information
from sundog.risk.logit_sampling import fixed_normals, mean_noisy_log_probabilities
from sundog.risk.mve import MVE


def random_probabilities(samples: int, batch: int, classes: int) -> torch.Tensor:
    draw = generator(3, "probabilities", samples)
    return (3 * torch.randn((samples, batch, classes), generator=draw)).double().softmax(dim=2)


class TestInformation:
    def test_equals_scipy_entropies(self):
        p = random_probabilities(7, 5, 4)
        found = split_information(p)
        for image in range(5):
            rows = p[:, image].numpy()
            total = entropy(rows.mean(axis=0))
            noise = np.mean([entropy(row) for row in rows])
            divergence = np.mean([entropy(row, rows.mean(axis=0)) for row in rows])
            assert float(found.total[image]) == pytest.approx(total, abs=1e-12)
            assert float(found.aleatoric[image]) == pytest.approx(noise, abs=1e-12)
            # Mutual information is also the mean divergence of the samples from their mean.
            assert float(found.epistemic[image]) == pytest.approx(divergence, abs=1e-12)

    def test_one_sample_has_no_epistemic_part(self):
        assert bool((split_information(random_probabilities(1, 50, 10)).epistemic == 0).all())

    def test_opposite_certain_samples_are_one_bit_apart(self):
        p = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
        found = split_information(p)
        assert float(found.epistemic) == pytest.approx(math.log(2))
        assert float(found.aleatoric) == 0

    def test_equal_samples_never_go_below_zero(self):
        p = random_probabilities(1, 200, 10).expand(7, -1, -1)
        found = split_information(p)
        assert float(found.epistemic.min()) >= 0
        assert float(found.epistemic.max()) < 1e-14

    def test_portions_give_the_same(self):
        p = random_probabilities(9, 4, 3)
        running = RunningSplit()
        for part in (p[:2], p[2:3], p[3:]):
            running.add(part)
        assert torch.allclose(running.split().epistemic, split_information(p).epistemic)

    def test_nan_stays_in_its_image(self):
        p = random_probabilities(3, 4, 3).clone()
        p[1, 2, 0] = math.nan
        found = split_information(p)
        assert torch.isnan(found.epistemic).tolist() == [False, False, True, False]

    @pytest.mark.parametrize(
        "bad",
        [
            torch.ones(2, 3),
            torch.zeros(0, 2, 3),
            torch.full((2, 2, 3), 0.5),
            torch.tensor([[[1.5, -0.5]]]),
        ],
    )
    def test_refuses_what_is_no_probability(self, bad):
        with pytest.raises(InputError):
            split_information(bad)


class TestNormals:
    def test_antithetic_even_and_normal(self):
        z = fixed_normals(1024, 6, seed=4)
        assert torch.equal(z[:512], -z[512:])
        assert torch.allclose(z.mean(dim=0), torch.zeros(6, dtype=torch.float64))
        ordered = np.sort(z[:, 2].numpy())
        exact = norm.ppf((np.arange(1024) + 0.5) / 1024)
        assert np.abs(ordered - exact)[20:-20].max() < 0.05
        assert np.abs(np.cov(z.numpy().T) - np.eye(6)).max() < 0.08

    def test_seed_decides_and_the_global_generator_does_not(self):
        torch.manual_seed(1)
        first = fixed_normals(128, 3, seed=0)
        state = torch.random.get_rng_state()
        second = fixed_normals(128, 3, seed=0)
        assert torch.equal(first, second)
        assert torch.equal(state, torch.random.get_rng_state())
        assert not torch.equal(first, fixed_normals(128, 3, seed=1))

    @pytest.mark.parametrize(("samples", "columns"), [(3, 2), (0, 2), (4, 0)])
    def test_bad_sizes(self, samples, columns):
        with pytest.raises(InputError):
            fixed_normals(samples, columns, seed=0)


class TestNoisyLogits:
    def test_equals_a_slow_sum(self):
        draw = generator(0, "noisy")
        mean = torch.randn((3, 4), generator=draw, dtype=torch.float64)
        scale = torch.rand((3, 4), generator=draw, dtype=torch.float64)
        z = fixed_normals(6, 4, seed=0)
        found = mean_noisy_log_probabilities(mean, scale, z).exp()
        for image in range(3):
            total = np.zeros(4)
            for point in z.numpy():
                e = np.exp(mean[image].numpy() + scale[image].numpy() * point)
                total += e / e.sum() / len(z)
            np.testing.assert_allclose(found[image].numpy(), total, rtol=1e-12)

    def test_two_classes_against_quadrature(self):
        for mu, sigma in ((0.5, 2.0), (-3.0, 1.0), (4.0, 5.0)):
            exact, _ = quad(lambda e, m=mu, s=sigma: norm.pdf(e) / (1 + np.exp(-m - s * e)), -9, 9)
            logits = torch.tensor([[0.0, mu]], dtype=torch.float64)
            scale = torch.tensor([[0.0, sigma]], dtype=torch.float64)
            found = mean_noisy_log_probabilities(logits, scale, fixed_normals(128, 2, seed=1))
            assert float(found.exp()[0, 1]) == pytest.approx(exact, abs=0.01)

    def test_no_noise_is_softmax_and_chunks_agree(self, monkeypatch):
        mean = torch.randn((30, 4), generator=generator(0, "m"), dtype=torch.float64)
        z = fixed_normals(128, 4, seed=0)
        found = mean_noisy_log_probabilities(mean, torch.zeros_like(mean), z)
        assert torch.allclose(found, mean.log_softmax(dim=1))
        scale = mean.abs()
        with torch.no_grad():
            whole = mean_noisy_log_probabilities(mean, scale, z)
            monkeypatch.setattr("sundog.risk.logit_sampling.CHUNK", 700)
            parts = mean_noisy_log_probabilities(mean, scale, z)
        assert torch.allclose(whole, parts, rtol=1e-12)

    def test_shapes_that_do_not_fit(self):
        with pytest.raises(InputError):
            mean_noisy_log_probabilities(torch.zeros(2, 3), torch.zeros(2, 2), torch.zeros(4, 3))
        with pytest.raises(InputError):
            mean_noisy_log_probabilities(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(4, 5, 3))


def built_mve(classes: int, features: int = 6, **options) -> MVE:
    method = MVE(**options)
    head = method.build(features=features, classes=classes, image_size=(8, 8), seed=2)
    with torch.no_grad():
        draw = generator(5, "weights")
        head.weight.copy_(0.5 * torch.randn(head.weight.shape, generator=draw))
    return method


class TestMVE:
    def test_loss_is_the_kendall_gal_likelihood(self):
        method = built_mve(4, train_samples=10)
        draw = generator(1, "batch")
        features, logits = torch.randn((5, 6), generator=draw), torch.randn((5, 4), generator=draw)
        labels = torch.tensor([0, 3, -1, 1, 2])
        loss = method.loss(Passed(features, logits), labels, generator(7, "draw"))
        known = [0, 1, 3, 4]
        half = torch.randn((5, 4, 4), generator=generator(7, "draw"))
        z = torch.cat([half, -half]).double().numpy()
        with torch.no_grad():
            deviation = method._head(features[known]).double().numpy()
        slow = []
        for place, image in enumerate(known):
            chances = []
            for sample in z[:, place]:
                e = np.exp(logits[image].double().numpy() + deviation[place] * sample)
                chances.append(e[labels[image]] / e.sum())
            slow.append(-np.log(np.mean(chances)))
        assert float(loss.detach()) == pytest.approx(np.mean(slow), rel=1e-5)

    def test_aleatoric_is_the_entropy_of_the_mean_and_ignores_the_batch(self):
        method = built_mve(3)
        method.end_fit(None)
        draw = generator(1, "score")
        passed = Passed(torch.randn((40, 6), generator=draw), torch.randn((40, 3), generator=draw))
        whole = method.score(passed)["aleatoric"]
        chances = method.probabilities(passed)
        slow = [entropy(row) for row in chances.numpy()]
        np.testing.assert_allclose(whole.numpy(), slow, rtol=1e-9)
        for place in (0, 17, 39):
            one = Passed(passed.features[place : place + 1], passed.logits[place : place + 1])
            assert float(method.score(one)["aleatoric"]) == pytest.approx(
                float(whole[place]), rel=1e-6
            )

    def test_two_classes_have_one_variance_whatever_the_parameterisation(self):
        method = built_mve(2)
        method.end_fit(None)
        z = torch.tensor([[1.3], [-0.4]])
        features = torch.randn((2, 6), generator=generator(0, "f"))
        single = torch.cat([torch.zeros_like(z), z], dim=1)
        pair = single + torch.tensor([[2.0], [-5.0]])
        assert method._head.weight.shape[0] == 1
        one, two = (method.score(Passed(features, x))["aleatoric"] for x in (single, pair))
        assert torch.allclose(one, two, rtol=1e-5)

    def test_saved_and_loaded_scores_are_equal(self):
        method = built_mve(4, eval_samples=100, start=-1.0)
        method.end_fit(None)
        passed = Passed(torch.randn(9, 6), torch.randn(9, 4))
        other = MVE(**method.settings())
        assert not other.fitted
        other.load_tensors(method.tensors())
        assert torch.equal(other.score(passed)["aleatoric"], method.score(passed)["aleatoric"])
        module = MVE(**method.settings())
        held = module.build(features=6, classes=4, image_size=(8, 8))
        module.load_tensors(method.tensors())
        assert module._head is held

    @pytest.mark.parametrize(
        "options",
        [{"train_samples": 9}, {"eval_samples": 98}, {"eval_samples": 101}, {"start": 10.0}],
    )
    def test_bad_options(self, options):
        with pytest.raises(InputError):
            MVE(**options)


class TestEvidence:
    def test_losses_against_beta_quadrature(self):
        a, b = 2.5, 1.3
        alpha = torch.tensor([[a, b]], dtype=torch.float64)
        law = beta(a, b)
        label = torch.tensor([0])
        brier, _ = quad(lambda p: law.pdf(p) * 2 * (1 - p) ** 2, 0, 1)
        cross, _ = quad(lambda p: -law.pdf(p) * np.log(p), 0, 1)
        found = {
            kind: float(evidential_fit(alpha, label, loss=kind))
            for kind in ("squared", "digamma", "log")
        }
        assert found["squared"] == pytest.approx(brier, rel=1e-7)
        assert found["digamma"] == pytest.approx(cross, rel=1e-7)
        assert found["log"] == pytest.approx(-math.log(a / (a + b)), rel=1e-12)

    def test_divergence_and_entropy_against_quadrature(self):
        a, b = 3.2, 1.7
        law, alpha = beta(a, b), torch.tensor([[3.2, 1.7]], dtype=torch.float64)
        kl, _ = quad(lambda p: law.pdf(p) * law.logpdf(p), 1e-12, 1 - 1e-12)
        h, _ = quad(
            lambda p: -law.pdf(p) * (p * np.log(p) + (1 - p) * np.log1p(-p)), 1e-12, 1 - 1e-12
        )
        assert float(divergence_from_uniform(alpha)) == pytest.approx(kl, rel=1e-6)
        assert float(expected_entropy(alpha)) == pytest.approx(h, rel=1e-6)

    def test_entropy_of_many_classes_against_sampling(self):
        alpha = np.array([2.0, 0.8, 5.0, 1.0])
        p = dirichlet(alpha).rvs(200_000, random_state=np.random.default_rng(0))
        exact = float(expected_entropy(torch.tensor(alpha)[None]))
        assert exact == pytest.approx(entropy(p, axis=1).mean(), abs=0.003)

    def test_uniform_dirichlet_has_no_divergence(self):
        ones = torch.ones((2, 5), dtype=torch.float64)
        assert torch.allclose(divergence_from_uniform(ones), torch.zeros(2, dtype=torch.float64))

    def test_loss_leaves_the_evidence_for_the_label_out_of_the_penalty(self):
        method = Evidential(annealing=2.0)
        method.build(features=4, classes=3, image_size=(8, 8), seed=0)
        passed = Passed(torch.randn((6, 4), generator=generator(0, "x")), torch.zeros(6, 3))
        labels = torch.tensor([0, 1, 2, 2, 1, -1])
        with torch.no_grad():
            plain = method.loss(passed, labels, generator(0))
            alpha = method._head(passed.features[:5]).double()
            assert float(plain) == pytest.approx(
                float(evidential_fit(alpha, labels[:5], loss="squared").mean()), rel=1e-5
            )
            method.begin_epoch(1, 4)  # half of the penalty
            half = method.loss(passed, labels, generator(0))
            method.begin_epoch(9, 10)
            full = method.loss(passed, labels, generator(0))
        without = alpha.clone()
        without[torch.arange(5), labels[:5]] = 1
        penalty = float(divergence_from_uniform(without).mean())
        assert float(half - plain) == pytest.approx(0.5 * penalty, rel=1e-4)
        assert float(full - plain) == pytest.approx(penalty, rel=1e-4)

    def test_vacuity_is_classes_over_total(self):
        method = Evidential()
        method.build(features=4, classes=3, image_size=(8, 8), seed=0)
        method.end_fit(None)
        passed = Passed(torch.randn(6, 4), torch.zeros(6, 3))
        with torch.no_grad():
            alpha = method._head(passed.features)
        found = method.score(passed)
        assert torch.allclose(found["epistemic"].float(), 3 / alpha.sum(dim=1))
        other = Evidential(**method.settings())
        other.load_tensors(method.tensors())
        assert torch.equal(other.score(passed)["epistemic"], found["epistemic"])

    def test_unlabelled_batch_has_loss_zero(self):
        passed = Passed(torch.randn(3, 4), torch.randn(3, 3))
        for method in (Evidential(), MVE()):
            method.build(features=4, classes=3, image_size=(8, 8), head=None, seed=0)
            nothing = torch.full((3,), -1)
            assert float(method.loss(passed, nothing, generator(0)).detach()) == 0

    def test_bad_options(self):
        for options in ({"loss": "brier"}, {"annealing": 0.0}, {"annealing": math.nan}):
            with pytest.raises(InputError):
                Evidential(**options)

    def test_unfitted_and_other_features_are_refused(self):
        head = Head("h", torch.zeros(3, 4), torch.zeros(3))
        for method in (Evidential(), MVE()):
            with pytest.raises(Exception, match="fitted"):
                method.score(Passed(torch.zeros(1, 4), torch.zeros(1, 3)))
            method.build(features=4, classes=3, image_size=(8, 8), head=head)
            method.end_fit(None)
            with pytest.raises(InputError, match="fitted on"):
                method.score(Passed(torch.zeros(1, 5), torch.zeros(1, 3)))
            with pytest.raises(InputError, match="finite"):
                method.score(Passed(torch.full((1, 4), math.nan), torch.zeros(1, 3)))
            with pytest.raises(InputError):
                method.build(features=4, classes=1, image_size=(8, 8))
