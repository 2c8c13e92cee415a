"""Groups, group sampling, Group DRO, LISA and JTT against slow re-implementations."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.data.arrays import from_arrays
from sundog.debias.error_sets import gate_error_set
from sundog.debias.group_dro import GroupDRO, update_group_weights
from sundog.debias.group_sampling import GroupReweighting, GroupSubsampling, group_probabilities
from sundog.debias.groups import check_groups, make_groups
from sundog.debias.just_train_twice import Upweighting, error_set, just_train_twice
from sundog.debias.lisa import Lisa, draw_partners
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import Step


def prepared(labels, classes=2):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 255, (len(labels), 8, 8, 3), dtype=np.uint8)
    names = [f"c{k}" for k in range(classes)]
    return PreparedImages(from_arrays(images, np.asarray(labels), names), size=None)


def make_step(labels, indices, *, seed=0, images=None):
    count = len(labels)
    draw = torch.Generator().manual_seed(seed)
    return Step(
        images=torch.rand(count, 3, 4, 4, generator=draw) if images is None else images,
        labels=torch.as_tensor(labels),
        indices=torch.as_tensor(indices),
        ids=tuple(str(i) for i in indices),
        epoch=0,
        seed=derive_seed(seed, "step"),
        flipped=torch.zeros(count, dtype=torch.bool),
        shifts=torch.zeros(count, 2, dtype=torch.int64),
    )


class Linear(torch.nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.layer = torch.nn.Linear(48, classes)
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():
            self.layer.weight.copy_(torch.randn(classes, 48, generator=draw) * 0.3)
            self.layer.bias.zero_()

    def forward(self, images):
        return self.layer(images.flatten(1))


# --- groups ---------------------------------------------------------------------------------------


def test_groups_are_label_times_attribute_with_readable_names():
    groups = make_groups(
        np.array([0, 0, 1, 1, -1, 1]),
        np.array([0, 1, 1, 1, 0, -1]),
        class_names=["cat", "dog"],
        attribute_names=["blue", "red"],
    )
    assert groups.ids.tolist() == [0, 1, 3, 3, -1, -1]
    assert groups.names == ("cat x blue", "cat x red", "dog x blue", "dog x red")
    assert groups.counts.tolist() == [1, 1, 0, 2]
    assert groups.empty == ("dog x blue",)
    assert groups.unknown == 2
    assert groups.table["share"].tolist() == [0.5, 0.5, 0.0, 1.0]
    assert groups.table["attribute"].tolist() == ["blue", "red", "blue", "red"]


def test_a_true_false_attribute_is_present_or_absent():
    groups = make_groups(np.array([0, 1]), np.array([False, False]), class_names=["a", "b"])
    assert groups.names == ("a x absent", "a x present", "b x absent", "b x present")
    assert groups.empty == ("a x present", "b x present")
    assert np.isnan(make_groups(np.array([1]), np.array([0])).table["share"][0])


@pytest.mark.parametrize(
    ("labels", "attribute", "text"),
    [
        ([0, 1], [0], "of one length"),
        ([0, 1], [-1, -1], "known for at least one image"),
        ([0, 2], [0, 0], "in -1..1"),
        ([0, 1], [0.5, 1.0], "integer"),
        ([], [], "integer"),
        ([0, -2], [0, 0], "-2"),
    ],
)
def test_groups_that_cannot_be_made(labels, attribute, text):
    with pytest.raises(InputError, match=text):
        make_groups(np.array(labels), np.array(attribute), class_names=["a", "b"])


def test_given_groups_are_checked_and_named():
    ids, names = check_groups([0, 2, -1])
    assert ids.tolist() == [0, 2, -1]
    assert names == ("group 0", "group 1", "group 2")
    with pytest.raises(InputError, match="at least one image"):
        check_groups([-1, -1])


# --- sampling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_group_probabilities_by_hand(power):
    groups = np.array([0] * 16 + [1] * 4 + [3] * 1 + [-1] * 3)
    p = group_probabilities(groups, power=power)
    weight = {0: 16**-power, 1: 4**-power, 3: 1.0, -1: 0.0}
    expected = np.array([weight[int(g)] for g in groups])
    np.testing.assert_allclose(p, expected / expected.sum(), rtol=1e-12)
    if power == 1:
        assert p[groups == 0].sum() == pytest.approx(1 / 3)


def test_null_world_equal_groups_get_uniform_weights():
    p = group_probabilities(np.repeat([0, 1, 2, 3], 25))
    np.testing.assert_allclose(p, 0.01, rtol=1e-12)
    recipe = GroupReweighting(np.repeat([0, 1, 2, 3], 25))
    assert recipe.notes()["effective_size"] == pytest.approx(100)


def test_reweighting_draws_all_groups_equally_often():
    labels = np.array([0] * 950 + [1] * 50)
    recipe = GroupReweighting(labels, group_names=["many", "few"])
    order = recipe.order(0, 20_000, 7).numpy()
    assert np.bincount(labels[order]) / 20_000 == pytest.approx([0.5, 0.5], abs=0.015)
    assert recipe.notes()["images"] == {"many": 950, "few": 50}
    assert recipe.notes()["effective_size"] == pytest.approx(1 / (0.25 / 950 + 0.25 / 50))
    assert len(set(map(tuple, (recipe.order(e, 50, 7).tolist() for e in range(3))))) == 3


def test_without_groups_the_classes_are_balanced():
    images = prepared([0] * 30 + [1] * 10)
    for recipe, size in ((GroupReweighting(None), 40), (GroupSubsampling(None), 20)):
        recipe.begin(None, images, TrainingOptions())
        order = recipe.order(0, 40, 3).numpy()
        assert len(order) == size
    assert GroupReweighting(None).describe()["name"] == "class_balance"
    assert sorted(np.bincount(images.image_set.labels[order]).tolist()) == [10, 10]


def test_subsampling_takes_as_many_of_each_as_the_smallest_has():
    groups = np.array([0] * 40 + [1] * 7 + [3] * 12 + [-1] * 5)
    recipe = GroupSubsampling(groups)
    first, second = recipe.order(0, 64, 1).numpy(), recipe.order(1, 64, 1).numpy()
    assert np.bincount(groups[first], minlength=4).tolist() == [7, 7, 0, 7]
    assert len(set(first.tolist())) == 21
    assert set(first.tolist()) == set(second.tolist())
    assert first.tolist() != second.tolist()
    assert recipe.notes() == {
        "images": {"group 0": 40, "group 1": 7, "group 2": 0, "group 3": 12},
        "empty_groups": ["group 2"],
        "left_out": 5,
        "images_per_group": 7,
    }
    anew = GroupSubsampling(groups, redraw=True)
    assert set(anew.order(0, 64, 1).tolist()) != set(anew.order(1, 64, 1).tolist())


def test_a_recipe_is_told_apart_by_its_groups():
    one, other = GroupReweighting([0, 1]), GroupReweighting([1, 0])
    assert one.describe() != other.describe()
    assert json.loads(json.dumps(one.describe())) == one.describe()
    with pytest.raises(InputError, match=r"one per training image \(3\)"):
        one.begin(None, prepared([0, 1, 0]), TrainingOptions())


# --- Group DRO ------------------------------------------------------------------------------------


def slow_group_dro(network, steps, groups, *, eta, adjustment, counts):
    """Algorithm 1 of the paper with explicit loops; losses and final weights."""
    present = [g for g in range(len(counts)) if counts[g]]
    q = {g: 1 / len(present) for g in present}
    losses = []
    for step in steps:
        logits = network(step.images)
        by_group = {}
        for row, label, index in zip(logits, step.labels, step.indices, strict=True):
            by_group.setdefault(int(groups[index]), []).append(
                F.cross_entropy(row[None], label[None])
            )
        mean = {g: torch.stack(parts).mean() for g, parts in by_group.items()}
        for g, value in mean.items():
            q[g] *= math.exp(eta * (value.item() + adjustment[g] / math.sqrt(counts[g])))
        total = sum(q.values())
        q = {g: value / total for g, value in q.items()}
        losses.append(sum(q[g] * value for g, value in mean.items()))
    return losses, q


@pytest.mark.parametrize("adjustment", [[0.0] * 4, [2.0] * 4, [0.0, 5.0, 0.0, 1.0]])
def test_group_dro_equals_its_slow_algorithm(adjustment):
    """C moves the weights even if some C are 0, and is never part of the loss."""
    groups = np.array([0] * 20 + [1] * 4 + [3] * 6)
    counts = np.bincount(groups, minlength=4)
    draw = np.random.default_rng(0)
    steps = []
    for number in range(12):
        indices = draw.choice(30, size=8, replace=False)
        steps.append(make_step((indices % 2).tolist(), indices, seed=number))
    network = Linear()
    names = ["a", "b", "empty", "d"]
    recipe = GroupDRO(groups, group_names=names, eta=0.3, adjustment=adjustment)
    expected, q = slow_group_dro(
        network, steps, groups, eta=0.3, adjustment=adjustment, counts=counts
    )
    for step, want in zip(steps, expected, strict=True):
        got = recipe.loss(network, step)
        assert got.item() == pytest.approx(want.item(), rel=1e-5)
        ours = torch.autograd.grad(got, network.layer.weight)[0]
        slow = torch.autograd.grad(want, network.layer.weight)[0]
        torch.testing.assert_close(ours, slow, rtol=1e-4, atol=1e-6)
    weights = recipe.notes()["weights"]
    assert weights["empty"] == 0
    for g, value in q.items():
        assert weights[names[g]] == pytest.approx(value, rel=1e-5)


def test_weights_do_not_overflow_after_a_million_steps():
    log = np.log(np.array([0.5, 0.5]))
    for _ in range(50):
        log = update_group_weights(
            log,
            np.array([1000.0, 1.0]),
            eta=20.0,
            adjustment=np.zeros(2),
            counts=np.array([5, 5]),
        )
    assert np.exp(log).tolist() == [1.0, 0.0]
    assert np.isfinite(log).all()


def test_running_losses_are_the_moving_average():
    recipe = GroupDRO([0, 0, 1], gamma=0.25)
    network = Linear()
    seen = {0: None, 1: None}
    for number, indices in enumerate(([0, 1], [0, 2], [2, 1])):
        step = make_step([0] * len(indices), indices, seed=number)
        recipe.loss(network, step)
        each = F.cross_entropy(network(step.images), step.labels, reduction="none").detach()
        for g in (0, 1):
            mine = [float(v) for v, i in zip(each, indices, strict=True) if (i == 2) == (g == 1)]
            if mine:
                value = sum(mine) / len(mine)
                seen[g] = value if seen[g] is None else 0.75 * seen[g] + 0.25 * value
    losses = recipe.notes()["losses"]
    assert losses["group 0"] == pytest.approx(seen[0], rel=1e-6)
    assert losses["group 1"] == pytest.approx(seen[1], rel=1e-6)


def test_group_dro_resumes_from_its_state():
    network = Linear()
    steps = [make_step([0, 1], [0, 2], seed=s) for s in range(6)]
    whole = GroupDRO([0, 0, 1], eta=0.5)
    expected = [whole.loss(network, s).item() for s in steps]
    first = GroupDRO([0, 0, 1], eta=0.5)
    got = [first.loss(network, s).item() for s in steps[:3]]
    second = GroupDRO([0, 0, 1], eta=0.5)
    second.load_state(first.state())
    got += [second.loss(network, s).item() for s in steps[3:]]
    assert got == expected
    assert second.notes() == whole.notes()


def test_group_dro_refuses_long_weakly_regularised_training():
    images = prepared([0, 1, 0])
    weak = TrainingOptions(epochs=50, weight_decay=1e-4)
    with pytest.raises(InputError, match=r"weight_decay >= 0\.01 or at most 20 epochs"):
        GroupDRO([0, 0, 1]).begin(None, images, weak)
    forced = GroupDRO([0, 0, 1], force=True)
    forced.begin(None, images, weak)
    assert "forced" in forced.notes()["warnings"][0]
    for fine in (TrainingOptions(epochs=50, weight_decay=0.1), TrainingOptions(epochs=5)):
        GroupDRO([0, 0, 1]).begin(None, images, fine)


def test_group_dro_says_when_every_group_is_memorised():
    recipe = GroupDRO([0, 1])
    assert recipe.notes()["warnings"] == []
    sure = torch.tensor([[20.0, 0.0], [0.0, 20.0]])
    recipe.loss(lambda images: sure, make_step([0, 1], [0, 1]))
    assert "memorised" in recipe.notes()["warnings"][0]
    json.dumps(recipe.notes(), allow_nan=False)


def test_unbalanced_group_dro_visits_each_known_image_once():
    recipe = GroupDRO([0, -1, 1, 0], balanced=False)
    assert sorted(recipe.order(0, 4, 0).tolist()) == [0, 2, 3]


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"eta": 0.0}, "eta"),
        ({"eta": math.nan}, "eta"),
        ({"gamma": 0.0}, "gamma"),
        ({"adjustment": -1.0}, "adjustment"),
        ({"adjustment": [1.0, 2.0, 3.0]}, "one or 2 numbers"),
    ],
)
def test_group_dro_parameters_out_of_range(kwargs, text):
    with pytest.raises(InputError, match=text):
        GroupDRO([0, 1], **kwargs)


# --- LISA -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("p_select", [0.0, 0.5, 1.0])
def test_partners_are_of_the_right_kind_and_uniform(p_select):
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    kinds = np.array([0, 1, 1, 0, 0, 1, -1, 2])
    hits = np.zeros((8, 8), dtype=int)
    draws = 4000
    for seed in range(draws):
        drawn = draw_partners(labels, kinds, p_select=p_select, beta=2.0, seed=seed)
        assert (drawn.ratio[drawn.partner == np.arange(8)] == 1).all()
        hits[np.arange(8), drawn.partner] += 1
    for i in range(8):
        cross = [j for j in range(8) if kinds[i] >= 0 and kinds[j] >= 0]
        first = [j for j in cross if labels[j] == labels[i] and kinds[j] != kinds[i]]
        second = [j for j in cross if labels[j] != labels[i] and kinds[j] == kinds[i]]
        expected = np.zeros(8)
        expected[first] += p_select / max(len(first), 1)
        expected[second] += (1 - p_select) / max(len(second), 1)
        expected[i] += 1 - expected.sum()
        np.testing.assert_allclose(hits[i] / draws, expected, atol=0.035)


def test_the_ratio_is_beta_distributed():
    labels, kinds = np.array([0, 0]), np.array([0, 1])
    ratio = np.concatenate(
        [draw_partners(labels, kinds, p_select=1.0, beta=2.0, seed=s).ratio for s in range(4000)]
    )
    assert ratio.mean() == pytest.approx(0.5, abs=0.01)
    assert ratio.var() == pytest.approx(1 / 20, abs=0.003)  # of Beta(2, 2)


def test_lisa_loss_equals_cross_entropy_with_soft_labels():
    labels, kinds = [0, 0, 1, 1, 0, 1], np.array([0, 1, 0, 1, 1, 0])
    recipe, network = Lisa(kinds), Linear()
    step = make_step(labels, list(range(6)), seed=5)
    got = recipe.loss(network, step)
    drawn = draw_partners(np.array(labels), kinds, p_select=0.5, beta=2.0, seed=step.seed)
    assert drawn.mixed == 6
    want = 0.0
    for i in range(6):
        j, r = int(drawn.partner[i]), float(drawn.ratio[i])
        mixed = r * step.images[i] + (1 - r) * step.images[j]
        target = torch.zeros(2)
        target[labels[i]] += r
        target[labels[j]] += 1 - r
        want += F.cross_entropy(network(mixed[None]), target[None]).item() / 6
    assert got.item() == pytest.approx(want, rel=1e-5)


def test_lisa_balances_groups_and_notes_what_was_mixed():
    labels = np.array([0] * 20 + [1] * 20)
    kinds = np.array([0] * 18 + [1] * 2 + [1] * 19 + [-1])
    recipe = Lisa(kinds)
    recipe.begin(None, prepared(labels), TrainingOptions())
    order = recipe.order(0, 9000, 0).numpy()
    groups = np.where(kinds >= 0, labels * 2 + kinds, -1)
    assert np.unique(groups[order]).tolist() == [0, 1, 3]
    assert np.bincount(groups[order], minlength=4)[[0, 1, 3]] / 9000 == pytest.approx(
        [1 / 3] * 3, abs=0.02
    )
    recipe.begin_epoch(0)
    recipe.loss(Linear(), make_step([0, 0], [0, 1]))
    notes = recipe.notes()
    assert notes["mixed"] == 0.0
    assert notes["left_out"] == 1
    assert notes["empty_groups"] == ["c1 x group 0"]


# --- JTT ------------------------------------------------------------------------------------------


def open_gate():
    hits = np.array([True] * 30 + [False] * 470)
    return gate_error_set(hits, hits)


def test_jtt_draws_the_errors_factor_times_as_often():
    labels = np.array([0, 1] * 50 + [-1])
    guesses = labels.copy()
    guesses[:10] = 1 - guesses[:10]
    guesses[-1] = 0
    errors = error_set(guesses, labels)
    assert np.flatnonzero(errors).tolist() == list(range(10))
    recipe = just_train_twice(errors, gate=open_gate(), factor=20)
    order = recipe.order(0, 50_000, 1).numpy()
    share = 10 * 20 / (10 * 20 + 91)
    assert (order < 10).mean() == pytest.approx(share, abs=0.01)
    assert recipe.notes()["set_share"] == pytest.approx(share)
    assert recipe.name == "jtt"


def test_jtt_is_refused_when_the_gate_is_closed():
    draw = np.random.default_rng(0)
    random_errors, conflicting = draw.random(1000) < 0.2, draw.random(1000) < 0.05
    gate = gate_error_set(random_errors, conflicting)
    with pytest.raises(InputError, match="times the base rate"):
        just_train_twice(random_errors, gate=gate)
    forced = gate_error_set(random_errors, conflicting, force=True)
    assert just_train_twice(random_errors, gate=forced).factor == 20


@pytest.mark.parametrize(
    ("images", "factor", "text"),
    [
        (np.zeros(3, dtype=bool), 2.0, "at least one image"),
        (np.ones(3, dtype=bool), 0.0, "factor"),
        (np.array([0, 2]), 2.0, "True or False"),
    ],
)
def test_upweighting_that_cannot_be(images, factor, text):
    with pytest.raises(InputError, match=text):
        Upweighting(images, factor=factor)


def test_upweighting_everything_changes_nothing_and_says_so():
    notes = Upweighting(np.ones(50, dtype=bool), factor=20).notes()
    assert "practically uniform" in notes["warnings"][0]


def test_subsampling_with_equal_steps_sees_each_chosen_image_equally_often():
    groups = np.repeat([0, 1], [90, 10])
    few = GroupSubsampling(groups)
    same = GroupSubsampling(groups, equal_steps=True)
    once, often = few.order(0, 100, 3), same.order(0, 100, 3)
    assert len(once) == 20
    assert len(often) == 100
    counts = np.bincount(often.numpy(), minlength=100)
    assert set(counts[once.numpy()]) == {5}
    assert counts.sum() == 100
    assert not np.array_equal(often[:20].numpy(), often[20:40].numpy())
