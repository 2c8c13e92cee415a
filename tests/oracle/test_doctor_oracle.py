"""The doctor's parts against what they claim: other ways to feed, moments, orders, resizing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sundog.core.errors import InputError
from sundog.data.resize_loss import resize_loss
from sundog.data.transforms import resize_image
from sundog.models.batch_norm_fit import (
    CAP,
    RunningMoments,
    divergence,
    first_batch_norm,
    input_moments,
)
from sundog.models.behaviour import in_eval_mode, observe
from sundog.models.classifier import Classifier
from sundog.models.label_order import check_label_order, cycles, find_columns, fit_order
from sundog.models.nets import SmallCNN
from sundog.models.normalisations import given_normalisation, other_normalisations, seen_as
from sundog.models.order_names import named_orders, names_by_column, natural_key
from sundog.models.output_kind import output_look


def images(count=4, side=20, seed=0):
    return torch.rand((count, 3, side, side), generator=torch.Generator().manual_seed(seed))


class Seen(nn.Module):
    """Remembers what it was given."""

    def __init__(self, channels=3):
        super().__init__()
        self.last = None
        self.linear = nn.Linear(channels, 2)

    def forward(self, x):
        self.last = x
        return self.linear(x.mean(dim=(2, 3)))


@pytest.mark.parametrize(
    ("mean", "std"), [((0.0,) * 3, (1.0,) * 3), ((0.2, 0.5, 0.7), (0.1, 0.3, 0.5))]
)
def test_another_way_to_feed_gives_the_network_what_it_says(mean, std):
    network = Seen()
    classifier = Classifier(network, mean=mean, std=std)
    x = images()
    ways = other_normalisations(classifier)
    assert {"0..255", "Caffe", "blue first"} <= {way.name for way in ways}
    for way in ways:
        classifier(seen_as(classifier, x, way))
        shown = x.flip(1) if way.swapped else x
        axis = [torch.tensor(part).view(1, 3, 1, 1) for part in (way.mean, way.std)]
        wanted = (shown - axis[0]) / axis[1]
        torch.testing.assert_close(network.last, wanted, rtol=1e-4, atol=1e-4)


def test_ways_that_cannot_be_told_apart_are_left_out():
    half = Classifier(Seen(), mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    names = [way.name for way in other_normalisations(half)]
    assert names == ["none", "ImageNet", "0..255", "Caffe", "twice", "blue first"]
    assert [w.name for w in other_normalisations(half, colour=False)] == [*names[:3], "twice"]
    grey = Classifier(Seen(1), channels=1, mean=(0.5,), std=(0.5,))
    network, x = grey.network, images()
    for way in other_normalisations(grey):
        grey(seen_as(grey, x, way))
        wanted = (x.mean(dim=1, keepdim=True) - way.mean[0]) / way.std[0]
        torch.testing.assert_close(network.last, wanted, rtol=1e-4, atol=1e-4)
    assert given_normalisation(grey).mean == (0.5,) * 3


def test_twice_is_the_given_one_twice():
    classifier = Classifier(Seen(), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    way = next(w for w in other_normalisations(classifier) if w.name == "twice")
    x = images()
    torch.testing.assert_close(
        classifier.normalise(seen_as(classifier, x, way)),
        classifier.normalise(classifier.normalise(x)),
        rtol=1e-4,
        atol=1e-4,
    )


def test_divergence_is_that_of_two_normals():
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(size=5), rng.uniform(0.5, 2, size=5)
    own, spread = rng.normal(size=(1, 5)), rng.uniform(0.5, 2, size=(1, 5))
    running = RunningMoments(name="", mean=mean, variance=variance, epsilon=0.0)
    found = divergence(np.stack([own, spread + own**2], axis=1), running)
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Normal(torch.tensor(own[0]), torch.tensor(spread[0]).sqrt()),
        torch.distributions.Normal(torch.tensor(mean), torch.tensor(variance).sqrt()),
    )
    assert found[0] == pytest.approx(float(wanted.clamp_max(CAP).mean()))


def test_moments_are_those_of_the_first_batch_norm_and_the_pass_ends_there():
    network = SmallCNN(3).eval()
    classifier, x = Classifier(network), images(6)
    calls = []
    network.head.register_forward_hook(lambda *_: calls.append(1))
    running = first_batch_norm(classifier, x)
    assert running.name == "features.1"
    assert np.array_equal(running.mean, network.features[1].running_mean.numpy())
    found = input_moments(classifier, x, batch_size=4)
    given_to = network.features[0](x).detach().double().flatten(2)
    np.testing.assert_allclose(found[:, 0], given_to.mean(2), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found[:, 1], (given_to**2).mean(2), rtol=1e-6)
    assert not calls
    assert first_batch_norm(Classifier(Seen()), x) is None
    with pytest.raises(InputError, match="batch norm"):
        input_moments(Classifier(Seen()), x)


def scores_of(labels, columns, *, total, right, rng):
    """Logits of a network that gives class c in column ``columns[c]``, right so often."""
    top = np.where(
        rng.random(labels.size) < right, columns[labels], rng.choice(columns, labels.size)
    )
    scores = rng.normal(size=(labels.size, total))
    scores[np.arange(labels.size), top] += 6
    return scores


@settings(max_examples=25)
@given(st.permutations(range(6)), st.integers(0, 1000))
def test_any_order_is_found(order, seed):
    rng = np.random.default_rng(seed)
    order = np.array(order)
    labels = np.arange(150) % 6
    scores = scores_of(labels, order, total=6, right=0.9, rng=rng)
    names = ["pear", "fig", "kiwi", "date", "lime", "plum"]
    test = check_label_order(scores, labels, columns=range(6), names=names, seed=seed)
    if (order == np.arange(6)).all():
        assert test.best is None
        return
    assert test.best.columns == tuple(order)
    assert test.best.difference.low > 0
    told = names_by_column(np.array(test.best.columns), names)
    assert [names.index(told[order[c]]) for c in range(6)] == list(range(6))


def test_a_sound_order_is_not_doubted():
    alarms = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        labels = np.arange(120) % 8
        right = rng.choice([0.15, 0.4, 0.8, 1.0])
        scores = scores_of(labels, np.arange(8), total=10, right=right, rng=rng)
        # Two classes that the network takes for a third: an error, not an order.
        scores[np.isin(labels, (2, 3)), 4] += 8 * rng.integers(0, 2)
        test = check_label_order(
            scores, labels, columns=range(8), names=[f"c{i}" for i in range(8)], seed=seed
        )
        assert test.trials
        alarms += test.best is not None
    assert alarms <= 3


def test_named_orders_say_what_they_are():
    names = [str(i) for i in range(12)]
    orders = dict(named_orders(names, np.arange(12), total=13))
    assert [names[i] for i in np.argsort(orders["alphabetical"])] == sorted(names)
    assert "numeric" not in orders
    assert (orders["shifted by 1"] == np.arange(1, 13)).all()
    assert (orders["shifted by -1"] == np.roll(np.arange(12), 1)).all()
    alphabetical = sorted(names)
    orders = dict(named_orders(alphabetical, np.arange(12), total=12))
    assert [alphabetical[i] for i in np.argsort(orders["numeric"])] == names
    assert sorted(["b10", "B2", "a"], key=natural_key) == ["a", "B2", "b10"]


def test_only_the_classes_that_win_are_moved():
    """Two classes are swapped; a confusion of two others is left alone."""
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 5
    scores = scores_of(labels, np.array([0, 1, 2, 4, 3]), total=5, right=1.0, rng=rng)
    rows = np.flatnonzero(labels == 0)[:21]
    scores[rows, 1] += 20
    place = fit_order(scores, labels, np.arange(5))
    assert place.tolist() == [0, 1, 2, 4, 3]
    assert [c.tolist() for c in cycles(np.array([1, 2, 0, 3, 5, 4]))] == [[0, 1, 2], [4, 5]]


def test_columns_are_found_among_many_and_noise_finds_none():
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    columns = np.array([17, 3, 60, 41])
    found = find_columns(
        scores_of(labels, columns, total=80, right=0.8, rng=rng), labels, classes=4
    )
    assert found.columns == tuple(columns)
    assert found.p_value < 1e-6
    assert found.convincing
    for _ in range(40):
        noise = find_columns(rng.normal(size=(80, 80)), np.arange(80) % 4, classes=4)
        assert not noise.convincing
    # The outputs of a random network are features: the best are right more often than chance.
    features = rng.normal(size=(160, 300)) + 0.9 * rng.normal(size=(4, 300))[labels]
    found = find_columns(features, labels, classes=4)
    assert found.p_value < 0.01
    assert not found.convincing
    assert find_columns(rng.normal(size=(10, 80)), np.arange(10) % 4, classes=4) is None


@pytest.mark.parametrize("shape", [(30, 60), (60, 30), (40, 40), (12, 50)])
def test_resize_loss_is_what_the_resizing_does(shape):
    size = (32, 32)
    white = np.full((*shape, 3), 255, np.uint8)
    pad = resize_loss(*shape, size, resize="pad")
    black = float((resize_image(white, size, resize="pad")[0] == 0).float().mean())
    assert pad.lost == pytest.approx(black, abs=0.05)
    # A ramp along the longer side: what is cut away is missing at both ends of its range.
    ramp = np.linspace(0, 255, max(shape)).astype(np.uint8)
    long = np.broadcast_to(ramp if shape[1] >= shape[0] else ramp[:, None], shape)
    kept = resize_image(np.repeat(long[..., None], 3, 2), size, resize="crop", crop_fraction=1.0)
    crop = resize_loss(*shape, size, resize="crop", crop_fraction=1.0)
    assert 1 - float(kept.max() - kept.min()) == pytest.approx(crop.lost, abs=0.06)
    stretch = resize_loss(*shape, size, resize="stretch")
    assert stretch.squeeze == pytest.approx(max(shape) / min(shape))


def test_output_looks():
    logits = torch.randn((20, 4), generator=torch.Generator().manual_seed(0))
    assert output_look(logits) == "logits"
    assert output_look(logits.softmax(1)) == "probabilities"
    assert output_look(logits.log_softmax(1)) == "log probabilities"
    assert output_look(logits.sigmoid()) == "shares"
    assert output_look(torch.zeros(5, 3)) == "constant"
    assert output_look(torch.tensor([[1.0, float("nan")]])) == "not finite"
    assert output_look(logits[:, :1].sigmoid()) == "shares"


def test_asking_leaves_modes_and_weights_as_they_are():
    network = nn.Sequential(SmallCNN(3), nn.Dropout(0.5))
    classifier = Classifier(network)
    network[1].train()
    modes = [m.training for m in classifier.modules()]
    before = {k: v.clone() for k, v in classifier.state_dict().items()}
    with in_eval_mode(classifier):
        assert observe(classifier, images()).repeat_gap == 0
    assert [m.training for m in classifier.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())
    assert observe(classifier, images()).repeat_gap > 0.1
