"""Planted label noise and label errors are found, epistemic risk falls with data, null worlds."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.models.feature_table import FeatureTable, table_from_arrays
from sundog.models.head import Head
from sundog.risk.estimator import Passed
from sundog.risk.evidential import Evidential
from sundog.risk.information import split_information
from sundog.risk.label_errors import label_error_scores
from sundog.risk.laplace import Laplace
from sundog.risk.mve import MVE

CLASSES, FEATURES = 5, 12
CENTRES = 3 * torch.randn((CLASSES, FEATURES), generator=generator(0, "centres"))


def world(
    count: int, rates: np.ndarray, *, seed: int = 0
) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Features of well separated classes, their true labels, and labels flipped at given rates."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, count)
    draw = generator(seed, "world")
    rows = CENTRES[truth] + torch.randn((count, FEATURES), generator=draw)
    wrong = rng.random(count) < rates[truth]
    others = (truth + rng.integers(1, CLASSES, count)) % CLASSES
    return rows, truth, np.where(wrong, others, truth)


def softmax_head(rows: torch.Tensor, labels: np.ndarray, *, seed: int = 0) -> Head:
    """A linear classifier, by gradient steps from random weights, regularised."""
    weight = (0.1 * torch.randn((CLASSES, FEATURES), generator=generator(seed))).requires_grad_()
    bias = torch.zeros(CLASSES, requires_grad=True)
    target = torch.as_tensor(labels)
    steps = torch.optim.Adam([weight, bias], lr=0.05)
    for _ in range(100):
        steps.zero_grad()
        loss = torch.nn.functional.cross_entropy(rows @ weight.T + bias, target)
        (loss + 1e-3 * weight.square().sum()).backward()
        steps.step()
    return Head("head", weight.detach(), bias.detach())


def table_of(rows: torch.Tensor, head: Head, labels: np.ndarray) -> FeatureTable:
    return table_from_arrays(rows, rows @ head.weight.T + head.bias, labels)


def trained(method, table: FeatureTable, *, epochs: int = 15, batch: int = 100):
    parts = method.build(features=FEATURES, classes=CLASSES, image_size=(8, 8), seed=0)
    steps = torch.optim.AdamW(parts.parameters(), lr=0.01)
    for epoch in range(epochs):
        method.begin_epoch(epoch, epochs)
        order = torch.randperm(len(table), generator=generator(epoch))
        for number, chosen in enumerate(torch.split(order, batch)):
            passed = Passed(table.features[chosen], table.logits[chosen])
            loss = method.loss(passed, table.labels[chosen], generator(epoch, "draw", number))
            steps.zero_grad()
            loss.backward()
            steps.step()
    method.end_fit(table)
    return method


RATES = np.array([0.1, 0.5, 0.0, 0.3, 0.2])


@pytest.mark.parametrize(("make", "bar"), [(MVE, 0.99), (Evidential, 0.85)])
def test_aleatoric_risk_follows_planted_label_noise(make, bar):
    rows, _, labels = world(2000, RATES)
    head = softmax_head(*world(500, np.zeros(CLASSES), seed=9)[::2])  # sure of everything
    table = table_of(rows, head, labels)
    method = trained(make(), table)
    shown, truth, _ = world(1000, RATES, seed=1)
    passed = Passed(shown, shown @ head.weight.T + head.bias)
    risk = method.score(passed)["aleatoric"].numpy()
    means = [risk[truth == c].mean() for c in range(CLASSES)]
    assert spearmanr(RATES, means).statistic >= bar  # five classes: .9 is one pair swapped
    noise = [
        -(1 - r) * np.log(max(1 - r, 1e-9)) - r * np.log(max(r, 1e-9) / (CLASSES - 1))
        for r in RATES
    ]
    if make is MVE:  # not the order alone: nats
        # The classifier alone is sure of all of them.
        plain = torch.special.entr(passed.logits.softmax(dim=1)).sum(dim=1).numpy()
        assert max(plain[truth == c].mean() for c in range(CLASSES)) < 0.2
        assert np.abs(np.array(means) - noise).max() < 0.3


def test_without_label_noise_mve_finds_little():
    rows, _, labels = world(2000, np.zeros(CLASSES))
    head = softmax_head(rows, labels)
    table = table_of(rows, head, labels)
    risk = trained(MVE(), table).score(Passed(table.features, table.logits))["aleatoric"]
    assert float(risk.mean()) < 0.15


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_label_errors_come_first(seed):
    rows, truth, labels = world(800, np.full(CLASSES, 0.05), seed=seed)
    table = table_of(rows, softmax_head(rows, labels), labels)
    found = label_error_scores(table, seed=seed)
    wrong = labels != truth
    first = np.argsort(-found.score, kind="stable")[: wrong.sum()]
    assert wrong[first].mean() >= 5 * wrong.mean()
    assert wrong[first].mean() >= 0.9
    assert (found.suggested[wrong] == truth[wrong]).mean() > 0.95
    assert found.unjudged == 0
    ranked = found.table(table)
    assert ranked["score"].is_monotonic_decreasing
    assert ranked["index"].head(len(first)).tolist() == first.tolist()


def test_no_planted_error_no_suspicion_and_shuffled_labels_are_not_found():
    rows, _, labels = world(800, np.zeros(CLASSES))
    clean = label_error_scores(table_of(rows, softmax_head(rows, labels), labels))
    assert (clean.score > 0).mean() < 0.01
    shuffled = np.random.default_rng(0).permutation(labels)
    lost = label_error_scores(table_from_arrays(rows, torch.zeros(800, CLASSES), shuffled))
    # Nothing can be learned from shuffled labels: no class is ever three times as probable.
    assert np.quantile(lost.score, 0.99) < np.log(3)
    assert lost.log_loss == pytest.approx(np.log(CLASSES), abs=0.02)


def test_images_of_a_noisy_class_rank_below_clear_errors():
    rates = np.array([0.0, 0.0, 0.5, 0.0, 0.0])
    rows, truth, labels = world(1500, rates)
    clear = np.flatnonzero(truth == 0)[:10]
    labels[clear] = 1
    found = label_error_scores(table_from_arrays(rows, torch.zeros(1500, CLASSES), labels))
    first = np.argsort(-found.score)[:10]
    assert np.isin(first, clear).mean() >= 0.6  # by chance: .06


def test_duplicates_do_not_vouch_for_each_other():
    rows, truth, labels = world(300, np.zeros(CLASSES))
    labels[0] = (truth[0] + 1) % CLASSES
    copies = torch.cat([rows, rows[:1].repeat(60, 1)])
    doubled = np.concatenate([labels, np.full(60, labels[0])])
    ids = [str(i) for i in range(300)] + ["0"] * 60
    table = table_from_arrays(copies, torch.zeros(360, CLASSES), doubled, ids=ids)
    assert label_error_scores(table).score[0] > 0
    strangers = table_from_arrays(copies, torch.zeros(360, CLASSES), doubled)
    assert label_error_scores(strangers).score[0] < 0  # what happens if they are not kept together


def test_unlabelled_images_and_classes_of_one_are_told():
    rows, _, labels = world(100, np.zeros(CLASSES))
    labels = np.where(labels == 4, 3, labels)
    labels[0], labels[1] = -1, 4
    found = label_error_scores(table_from_arrays(rows, torch.zeros(100, CLASSES), labels))
    assert np.isnan(found.score[:2]).all()
    assert not np.isnan(found.score[2:]).any()
    assert found.unjudged == 2
    assert found.suggested[:2].tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (np.zeros(40), {}),
        (np.full(40, -1), {}),
        (np.arange(40) % 2, {"folds": 1}),
        (np.arange(40) % 2, {"folds": 50}),
        (np.arange(40) % 2, {"strengths": (1.0, 0.1)}),
        (np.arange(40) % 2, {"strengths": ()}),
    ],
)
def test_what_cannot_be_judged_is_refused(labels, options):
    table = table_from_arrays(torch.randn(40, 3), torch.zeros(40, 2), labels.astype(np.int64))
    with pytest.raises(InputError):
        label_error_scores(table, **options)


def test_epistemic_risk_falls_as_training_images_are_added():
    rows, _, labels = world(2000, np.full(CLASSES, 0.1))
    shown, _, _ = world(500, np.zeros(CLASSES), seed=5)
    sizes = (20, 100, 300, 1000, 2000)
    laplace, ensemble = [], []
    for size in sizes:
        heads = []
        for member in range(4):
            drawn = np.random.default_rng(member).integers(0, size, size)
            heads.append(softmax_head(rows[drawn], labels[drawn], seed=member))
        table = table_of(rows[:size], heads[0], labels[:size])
        passed = Passed(shown, shown @ heads[0].weight.T + heads[0].bias)
        method = Laplace().fit(table, head=heads[0])
        laplace.append(float(method.score(passed)["epistemic"].mean()))
        p = torch.stack([(shown @ h.weight.T + h.bias).softmax(dim=1) for h in heads])
        ensemble.append(float(split_information(p).epistemic.mean()))
    assert spearmanr(sizes, laplace).statistic <= -0.9
    assert spearmanr(sizes, ensemble).statistic <= -0.9
    assert laplace[-1] < laplace[0] / 5
