"""Last-layer Laplace against autograd's Hessian, dense linear algebra and quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.models.feature_table import FeatureTable, table_from_arrays
from sundog.models.head import Head
from sundog.risk.estimator import Passed
from sundog.risk.laplace import Laplace
from sundog.risk.laplace_posterior import (
    FactoredCurvature,
    FullCurvature,
    best_precision,
    log_evidence_of_prior,
    sum_curvature,
    with_constant,
)


def small_world(
    classes: int = 3, features: int = 4, images: int = 60, *, scale: float = 1.0
) -> tuple[FeatureTable, Head]:
    draw = generator(1, "laplace", classes, features)
    rows = torch.randn((images, features), generator=draw)
    weight = scale * torch.randn((classes, features), generator=draw)
    bias = scale * torch.randn(classes, generator=draw)
    labels = torch.randint(classes, (images,), generator=draw)
    return table_from_arrays(rows, rows @ weight.T + bias, labels), Head("head", weight, bias)


def hessian(table: FeatureTable, head: Head) -> np.ndarray:
    """Autograd's second derivative of the summed cross-entropy, in float64."""
    rows = table.features.double()
    start = torch.cat([head.weight, head.bias[:, None]], dim=1).double().flatten()

    def loss(flat: torch.Tensor) -> torch.Tensor:
        matrix = flat.reshape(len(head.bias), -1)
        logits = rows @ matrix[:, :-1].T + matrix[:, -1]
        return torch.nn.functional.cross_entropy(logits, table.labels, reduction="sum")

    return torch.autograd.functional.hessian(loss, start).numpy()


class TestCurvature:
    def test_full_equals_the_hessian(self):
        table, head = small_world()
        found = sum_curvature(
            table.features, table.logits.double().softmax(dim=1), most_weights=100
        )
        assert isinstance(found, FullCurvature)
        matrix = (found.vectors * found.values) @ found.vectors.T
        np.testing.assert_allclose(matrix.numpy(), hessian(table, head), atol=1e-5)

    def test_blocks_of_rows_do_not_matter(self, monkeypatch):
        table, _ = small_world()
        p = table.logits.double().softmax(dim=1)
        whole = sum_curvature(table.features, p, most_weights=100).eigenvalues()
        factored = sum_curvature(table.features, p, most_weights=0).eigenvalues()
        monkeypatch.setattr("sundog.risk.laplace_posterior.ROWS", 7)
        again = sum_curvature(table.features, p, most_weights=100).eigenvalues()
        np.testing.assert_allclose(whole, again, atol=1e-9)
        np.testing.assert_allclose(
            factored, sum_curvature(table.features, p, most_weights=0).eigenvalues(), atol=1e-9
        )

    def test_factors_are_exact_where_all_images_have_equal_probabilities(self):
        table, _ = small_world(classes=4, scale=0.0)
        p = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64).expand(len(table), -1)
        full = sum_curvature(table.features, p, most_weights=100)
        factored = sum_curvature(table.features, p, most_weights=0)
        assert isinstance(factored, FactoredCurvature)
        np.testing.assert_allclose(
            np.sort(full.eigenvalues()), np.sort(factored.eigenvalues()), atol=1e-9
        )
        inputs = with_constant(table.features)
        one = full.posterior(0.7).spread(inputs).variances()
        other = factored.posterior(0.7).spread(inputs).variances()
        assert torch.allclose(one, other, rtol=1e-4)

    def test_a_class_that_is_never_predicted_keeps_its_prior_variance(self):
        table, _ = small_world(classes=3)
        p = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64).expand(len(table), -1)
        inputs = with_constant(table.features)
        full = sum_curvature(table.features, p, most_weights=100).posterior(2.0)
        factored = sum_curvature(table.features, p, most_weights=0).posterior(2.0)
        one, other = full.spread(inputs).variances(), factored.spread(inputs).variances()
        assert torch.allclose(one, other, rtol=1e-4)
        assert bool((one[:, 2] > 3 * one[:, 0]).all())

    def test_too_many_features(self, monkeypatch):
        monkeypatch.setattr("sundog.risk.laplace_posterior.MOST", 4)
        table, _ = small_world()
        with pytest.raises(InputError, match="features"):
            sum_curvature(table.features, table.logits.double().softmax(dim=1), most_weights=9)


class TestPrior:
    def test_evidence_is_the_gaussian_integral_and_the_optimum_is_its_largest(self):
        table, head = small_world()
        matrix = hessian(table, head)
        values = np.linalg.eigvalsh(matrix).clip(0)
        square = float((head.weight.double() ** 2).sum() + (head.bias.double() ** 2).sum())
        evidence = log_evidence_of_prior(values, square)

        def slow(t: float) -> float:
            count = len(values)
            _, volume = np.linalg.slogdet(matrix + t * np.eye(count))
            return -0.5 * t * square + 0.5 * count * math.log(t) - 0.5 * volume

        for t in (0.01, 0.5, 3.0, 100.0):
            assert evidence(t) - evidence(1.0) == pytest.approx(slow(t) - slow(1.0), abs=1e-5)
        best = best_precision(values, square)
        grid = 10.0 ** np.linspace(-6, 8, 4001)
        assert best == pytest.approx(grid[np.argmax([slow(t) for t in grid])], rel=0.02)
        # MacKay's fixed point: the weights that the images determine.
        assert best * square == pytest.approx(float((values / (values + best)).sum()), rel=1e-3)

    def test_edges_of_the_search(self):
        assert best_precision(np.zeros(5), 1.0) == pytest.approx(1e-6, rel=1e-3)
        assert best_precision(np.full(5, 1e3), 0.0) == pytest.approx(1e8, rel=1e-3)

    def test_fit_uses_it_and_a_given_one_instead(self):
        table, head = small_world()
        values = np.linalg.eigvalsh(hessian(table, head)).clip(0)
        square = float((head.weight.double() ** 2).sum() + (head.bias.double() ** 2).sum())
        found = Laplace().fit(table, head=head).precision
        assert found == pytest.approx(best_precision(values, square), rel=1e-3)
        assert Laplace(prior_precision=3.0).fit(table, head=head).precision == 3.0


class TestPrediction:
    def test_covariance_equals_a_slow_loop(self):
        table, head = small_world()
        t = 0.8
        inverse = np.linalg.inv(hessian(table, head) + t * np.eye(15))
        p = table.logits.double().softmax(dim=1)
        spread = sum_curvature(table.features, p, most_weights=100).posterior(t)
        inputs = with_constant(table.features[:5])
        roots = spread.spread(inputs).roots
        centring = np.eye(3) - 1 / 3
        for image in range(5):
            jacobian = np.kron(np.eye(3), inputs[image].numpy()[None])
            slow = centring @ jacobian @ inverse @ jacobian.T @ centring
            found = (roots[image] @ roots[image].T).numpy()
            np.testing.assert_allclose(found, slow, atol=1e-5)

    def test_factored_covariance_equals_the_dense_product(self):
        table, _ = small_world(classes=4, features=5)
        p = table.logits.double().softmax(dim=1)
        phi = with_constant(table.features).numpy()
        lam = (np.diag(p.numpy().sum(0)) - p.numpy().T @ p.numpy()) / len(table)
        inverse = np.linalg.inv(np.kron(lam, phi.T @ phi) + 0.3 * np.eye(24))
        spread = sum_curvature(table.features, p, most_weights=0).posterior(0.3)
        found = spread.spread(with_constant(table.features[:3]))
        centring = np.eye(4) - 1 / 4
        for image in range(3):
            jacobian = np.kron(np.eye(4), phi[image][None])
            slow = centring @ jacobian @ inverse @ jacobian.T @ centring
            u, v = found.vectors.double().numpy(), found.deviations[image].numpy() ** 2
            np.testing.assert_allclose((u * v) @ u.T, slow, atol=1e-5)

    def test_probit_and_samples_agree_with_quadrature_for_one_logit(self):
        draw = generator(2, "binary")
        rows = torch.randn((40, 3), generator=draw)
        w, b = torch.randn((1, 3), generator=draw), torch.tensor([0.3])
        z = rows @ w.T + b
        logits = torch.cat([torch.zeros_like(z), z], dim=1)
        head = Head("h", torch.cat([torch.zeros_like(w), w]), torch.cat([torch.zeros(1), b]))
        method = Laplace(prior_precision=0.5).fit(table_from_arrays(rows, logits), head=head)
        p = z[:, 0].double().sigmoid().numpy()
        phi = with_constant(rows).numpy()
        inverse = np.linalg.inv((phi.T * (p * (1 - p))) @ phi + 0.5 * np.eye(4))
        passed = Passed(rows[:8] * 3, torch.cat([torch.zeros(8, 1), rows[:8] * 3 @ w.T + b], 1))
        probit = method.probabilities(passed)[:, 1]
        sampled = method.probabilities(passed, method="samples")[:, 1]
        for image in range(8):
            x = with_constant(passed.features)[image].numpy()
            mean, deviation = float(passed.logits[image, 1]), math.sqrt(x @ inverse @ x)
            exact, _ = quad(
                lambda e, m=mean, s=deviation: norm.pdf(e) / (1 + np.exp(-m - s * e)), -9, 9
            )
            closed = 1 / (1 + math.exp(-mean / math.sqrt(1 + math.pi / 8 * deviation**2)))
            assert float(probit[image]) == pytest.approx(closed, rel=1e-6)
            assert float(sampled[image]) == pytest.approx(exact, abs=0.01)

    def test_risks_rise_away_from_the_data_and_fall_with_its_amount(self):
        table, head = small_world(images=400)
        far = Passed(table.features * 8, table.features * 8 @ head.weight.T + head.bias)
        near = Passed(table.features, table.logits)
        method = Laplace().fit(table, head=head)
        assert float(method.probabilities(far).max(dim=1).values.mean()) < float(
            far.logits.softmax(dim=1).max(dim=1).values.mean()
        )
        means = [
            float(
                Laplace(prior_precision=1.0)
                .fit(table.rows(np.arange(count)), head=head)
                .score(near)["epistemic"]
                .mean()
            )
            for count in (10, 40, 100, 400)
        ]
        assert means == sorted(means, reverse=True)
        assert means[0] > 5 * means[-1]

    @pytest.mark.parametrize("most_weights", [0, 1024])
    def test_batch_order_and_storage_do_not_matter(self, most_weights):
        table, head = small_world(classes=5, features=6)
        method = Laplace(most_weights=most_weights).fit(table, head=head, seed=3)
        whole = method.score(Passed(table.features, table.logits))
        other = Laplace(**method.settings())
        other.load_tensors(method.tensors())
        for name, values in whole.items():
            for place in (0, 31):
                one = Passed(table.features[place : place + 1], table.logits[place : place + 1])
                assert float(method.score(one)[name]) == pytest.approx(
                    float(values[place]), rel=1e-5, abs=1e-9
                )
            again = other.score(Passed(table.features, table.logits))[name]
            assert torch.equal(again, values)
        assert other.precision == method.precision

    def test_total_is_the_sum_of_its_parts(self):
        table, head = small_world()
        found = Laplace().fit(table, head=head).split(Passed(table.features, table.logits))
        assert torch.allclose(found.total, found.aleatoric + found.epistemic)
        assert bool((found.epistemic > 0).all())

    def test_an_empty_batch(self):
        table, head = small_world()
        method = Laplace().fit(table, head=head)
        empty = Passed(table.features[:0], table.logits[:0])
        assert method.score(empty)["epistemic"].shape == (0,)
        assert method.probabilities(empty).shape == (0, 3)


class TestFaults:
    def test_no_head_and_another_head(self):
        table, head = small_world()
        with pytest.raises(InputError, match="linear head"):
            Laplace().fit(table, head=None)
        with pytest.raises(InputError, match="The head"):
            Laplace().fit(table, head=Head("h", head.weight[:, :2], head.bias))

    def test_other_features_classes_and_nan(self):
        table, head = small_world()
        method = Laplace().fit(table, head=head)
        with pytest.raises(InputError, match="fitted on"):
            method.score(Passed(torch.zeros(1, 9), torch.zeros(1, 3)))
        with pytest.raises(InputError, match="fitted on"):
            method.score(Passed(torch.zeros(1, 4), torch.zeros(1, 5)))
        with pytest.raises(InputError, match="finite"):
            method.score(Passed(torch.full((1, 4), math.nan), torch.zeros(1, 3)))
        with pytest.raises(InputError, match="probit"):
            method.probabilities(Passed(table.features, table.logits), method="mean")
        with pytest.raises(Exception, match="fitted"):
            Laplace().score(Passed(table.features, table.logits))

    @pytest.mark.parametrize(
        "options",
        [
            {"prior_precision": 0.0},
            {"prior_precision": math.inf},
            {"samples": 50},
            {"samples": 101},
            {"most_weights": -1},
        ],
    )
    def test_bad_options(self, options):
        with pytest.raises(InputError):
            Laplace(**options)

    def test_one_image_and_one_class_among_the_predictions(self):
        table, head = small_world()
        method = Laplace().fit(table.rows([0]), head=head)
        assert bool(
            torch.isfinite(method.score(Passed(table.features, table.logits))["epistemic"]).all()
        )
        sure = table_from_arrays(table.features, 1000 * torch.eye(3)[torch.zeros(60).long()])
        found = Laplace().fit(sure, head=head).score(Passed(sure.features, sure.logits))
        assert bool(torch.isfinite(found["epistemic"]).all())
