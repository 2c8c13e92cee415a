"""How sundog debias chooses: no leak between fit, choice and test, and no repair of nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sundog.audit.debias_cross_fit import cross_fitted, halves
from sundog.audit.debias_data import make_debias_data
from sundog.audit.debias_gates import conflicting, errors_part, gate_errors
from sundog.audit.debias_measure import Measured, group_names, measure, scores_of
from sundog.audit.debias_methods import HELD_OUT_FITS, Workbench, fitted_head
from sundog.audit.debias_reliance import gap_within_classes, relies_on_cue
from sundog.audit.debias_run import debias_classifier
from sundog.audit.debias_settings import DebiasSettings
from sundog.audit.debias_sources import Sources, open_sources
from sundog.audit.debias_summary import Answers, choose, join_seeds
from sundog.audit.debias_table import identity_of
from sundog.audit.debias_windows import frozen_windows
from sundog.core.errors import DataError, InputError, ModelStateError
from sundog.core.seeds import derive_seed
from sundog.core.statistics import Estimate, proportion_difference
from sundog.data.image_set import ImageSet
from sundog.debias.dfr import dfr
from sundog.debias.registry import METHODS
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable, collect_features

SIDE = 8
NAMES = ("a x in", "a x out", "b x in", "b x out")
CLASSES = ("a", "b")


def image_set(pixels, labels, *, place=None, name="made", ids=None):
    count = len(labels)
    made = ids if ids is not None else [f"{derive_seed(0, p.tobytes()):016x}" for p in pixels]
    metadata = pd.DataFrame(index=range(count))
    if place is not None:
        metadata = pd.DataFrame({"place": ["in" if v == 0 else "out" for v in place]})
    return ImageSet(
        name=name,
        class_names=CLASSES,
        labels=np.asarray(labels, dtype=np.int64),
        ids=made,
        sources=[f"{name}/{i}" for i in range(count)],
        read=lambda row: pixels[row],
        metadata=metadata,
    )


def noise_set(count, *, seed, signal=0.0):
    """Images of noise, of which the mean brightness follows the label as far as ``signal``."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    place = (np.arange(count) // 2) % 2
    values = (
        rng.normal(128, 40, (count, SIDE, SIDE, 3)) + signal * (labels * 2 - 1)[:, None, None, None]
    )
    pixels = values.clip(0, 255).astype(np.uint8)
    return image_set(pixels, labels, place=place, name=f"noise {seed}")


def data_of(train, validation, test):
    return make_debias_data(
        Sources(train, validation, test, "made here"), size=SIDE, group_column="place"
    )


@pytest.fixture(scope="module")
def noise():
    return data_of(*(noise_set(count, seed=s) for s, count in enumerate((200, 160, 160))))


def linear(seed=0):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Identity(), nn.Linear(3 * SIDE * SIDE, 2))
    with torch.no_grad():  # blind to the mean brightness: answers both classes on noise
        network[2].weight -= network[2].weight.mean(dim=1, keepdim=True)
        network[2].bias.zero_()
    return Classifier(
        network, class_names=CLASSES, input_size=(SIDE, SIDE), feature_layer="network.2:input"
    )


def answers(right, labels, groups, n_classes=2):
    predicted = np.where(right, labels, (labels + 1) % n_classes)
    p = np.full((len(labels), n_classes), 0.1)
    p[np.arange(len(labels)), predicted] = 0.9
    p /= p.sum(axis=1, keepdims=True)
    return Measured(np.arange(len(labels)), labels, groups, p)


# --- heads that are fitted on the validation images -----------------------------------------------


def test_every_head_that_sees_validation_images_is_cross_fitted():
    assert set(HELD_OUT_FITS) == {"dfr", "afr", "low_spuriosity"}
    for name, row in METHODS.items():
        if row.kind == "head" and "validation_groups" in row.needs:
            assert name in HELD_OUT_FITS


def test_a_head_fitted_on_noise_is_praised_by_its_own_images_alone(noise):
    """192 features, 160 images: DFR fits noise. What it is chosen by must not be that."""
    model = linear()
    bench = Workbench(noise, model, 0)
    own = measure(fitted_head("dfr", bench).apply(model), noise.validation, seed=0)
    names = group_names(noise.validation, CLASSES)
    assert scores_of(own, names, CLASSES)[0]["worst_group"].value >= 0.85
    fair = cross_fitted(
        noise.validation,
        lambda seen: fitted_head("dfr", bench.seeing(seen)).apply(model),
        seed=0,
    )
    assert scores_of(fair, names, CLASSES)[0]["average"].low < 0.5
    assert scores_of(fair, names, CLASSES)[0]["worst_group"].value < 0.6
    before = Answers([measure(model, noise.validation, seed=0)], [])
    leaky = choose(before, {"dfr": Answers([own], [])}, names, CLASSES, grouped=True)
    assert leaky.name == "dfr"  # what would happen without
    sound = choose(before, {"dfr": Answers([fair], [])}, names, CLASSES, grouped=True)
    assert sound.name == ""


def test_a_whole_run_on_noise_keeps_no_head(noise, tmp_path):
    run = debias_classifier(
        linear(), noise, tmp_path / "r",
        settings=DebiasSettings(methods=("dfr",), seeds=(0,), force=True), progress=False,
    )  # fmt: skip
    assert run.chosen == ""
    assert run.outcome == "no method helped"
    assert run.choice is not None
    assert run.choice.worst["dfr"].value < 0.6
    assert not (tmp_path / "r" / "mended").exists()


def test_cross_fitted_answers_are_those_of_two_fits_made_by_hand(noise):
    model = linear(1)
    bench = Workbench(noise, model, 3)
    found = cross_fitted(
        noise.validation,
        lambda seen: fitted_head("dfr", bench.seeing(seen)).apply(model),
        seed=0,
    )
    table = collect_features(model, noise.validation.images)
    train = collect_features(model, noise.train.images)
    first = halves(noise.validation)
    ids = noise.validation.groups.ids
    for side in (first, ~first):
        fit = dfr(
            table.rows(~side), ids[~side], group_names=noise.validation.groups.names, train=train,
            seed=3,
        )  # fmt: skip
        logits = table.features.double().numpy() @ fit.weight.T + fit.bias
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found.probabilities[side], p[side], atol=1e-4)
    np.testing.assert_array_equal(found.indices, np.arange(160))
    np.testing.assert_array_equal(found.labels, noise.validation.labels)
    np.testing.assert_array_equal(found.groups, ids)


def test_halves_split_every_group_and_keep_copies_together(noise):
    part = noise.validation
    first = halves(part)
    for group in range(4):
        assert first[part.groups.ids == group].sum() == 20
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (24, SIDE, SIDE, 3)).astype(np.uint8)
    twice = np.concatenate([pixels, pixels])
    labels = np.tile(np.arange(24) % 2, 2)
    made = image_set(twice, labels, place=(np.arange(48) // 2) % 2)
    doubled = data_of(made, made, made).validation
    sides = halves(doubled)
    np.testing.assert_array_equal(sides[:24], sides[24:])
    order = rng.permutation(48)
    shuffled = image_set(
        twice[order], labels[order], place=((np.arange(48) // 2) % 2)[order],
        ids=[made.ids[i] for i in order],
    )  # fmt: skip
    np.testing.assert_array_equal(halves(data_of(made, shuffled, made).validation), sides[order])


def test_a_group_of_one_image_cannot_be_refitted_and_judged():
    labels, place = [0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 0]
    pixels = np.random.default_rng(0).integers(0, 255, (6, SIDE, SIDE, 3)).astype(np.uint8)
    part = data_of(*[image_set(pixels, labels, place=place)] * 3).validation
    with pytest.raises(InputError, match="at least 2 different ones of every group"):
        halves(part)


def test_a_group_without_validation_images_is_named_and_the_others_are_balanced(tmp_path):
    """No validation image of one group: DFR balances the three that are there."""
    train, test = noise_set(80, seed=1), noise_set(80, seed=2)
    whole = noise_set(80, seed=3)
    kept = np.flatnonzero(~((whole.labels == 1) & (whole.metadata["place"] == "out").to_numpy()))
    data = data_of(train, whole.subset(kept), test)
    run = debias_classifier(
        linear(), data, tmp_path / "r", progress=False,
        settings=DebiasSettings(
            methods=("dfr", "group_reweighting"), seeds=(0,), epochs=1, force=True
        ),
    )  # fmt: skip
    assert run.refused == ()
    assert {r.name for r in run.results} == {"erm", "dfr", "group_reweighting"}
    note = next(r.note for r in run.results if r.name == "dfr")
    assert "Not balanced, for want of validation images: b x out." in note


# --- more training is no repair -------------------------------------------------------------------


def test_more_training_is_not_taken_for_a_repair():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 100)
    labels = groups // 2

    def run(share):
        return Answers([answers(rng.random(400) < share, labels, groups)], [])

    before, plain, method = run(0.6), run(0.9), run(0.9)
    tried = {"cue_augmentation": method}
    alone = choose(before, tried, NAMES, CLASSES, grouped=True)
    assert alone.name == "cue_augmentation"
    fair = choose(
        before, tried, NAMES, CLASSES, grouped=True, plain=plain, trained=("cue_augmentation",)
    )
    assert fair.name == ""
    assert "no more than plain training" in fair.reason
    head = choose(before, {"dfr": method}, NAMES, CLASSES, grouped=True, plain=plain, trained=())
    assert head.name == "dfr"
    better = choose(
        run(0.5), {"cue_augmentation": run(0.95)}, NAMES, CLASSES, grouped=True, plain=run(0.6),
        trained=("cue_augmentation",),
    )  # fmt: skip
    assert better.name == "cue_augmentation"


def test_in_null_worlds_nothing_is_chosen(monkeypatch):
    """Four methods, equally good everywhere: a choice in at most 5 % of the worlds."""
    monkeypatch.setattr("sundog.audit.debias_measure.RESAMPLES", 100)
    groups = np.repeat(np.arange(4), 40)
    labels, chosen, worlds = groups // 2, 0, 8
    for world in range(worlds):
        rng = np.random.default_rng(world)
        hard = rng.normal(size=160)

        def run(rng=rng, hard=hard):
            return Answers([answers(hard + rng.normal(size=160) < 1.2, labels, groups)], [])

        tried = {name: run() for name in ("dfr", "projection", "jtt", "group_dro")}
        chosen += bool(choose(run(), tried, NAMES, CLASSES, grouped=True).name)
    assert chosen <= 1


# --- is there a bias at all -----------------------------------------------------------------------


def test_a_harder_class_is_no_bias():
    groups = np.repeat(np.arange(4), 200)
    labels = groups // 2
    right = np.tile(np.arange(200) % 10, 4) < np.array([9, 9, 6, 6])[groups]
    found = Answers([answers(right, labels, groups)], [])
    biased, why = relies_on_cue(found, NAMES, CLASSES, grouped=True, tolerated_flips=0.05)
    assert biased is False
    assert "within a class" in why
    cue = np.tile(np.arange(200) % 10, 4) < np.array([9, 6, 6, 9])[groups]
    biased, why = relies_on_cue(
        Answers([answers(cue, labels, groups)], []), NAMES, CLASSES, grouped=True,
        tolerated_flips=0.05,
    )  # fmt: skip
    assert biased is True
    assert "30.0 points" in why


def test_the_gap_within_classes_against_slow_sums():
    rng = np.random.default_rng(4)
    groups = rng.integers(-1, 6, 300)
    labels = np.where(groups >= 0, groups // 3, 0)
    right = rng.random(300) < 0.7
    found = gap_within_classes(answers(right, labels, groups), 6, 2)
    lows, values, highs = [], [], []
    for a in range(6):
        for b in range(6):
            if a != b and a // 3 == b // 3:
                one, two = right[groups == a], right[groups == b]
                e = proportion_difference(
                    one.sum(), one.size, two.sum(), two.size, level=1 - 0.05 / 6
                )
                lows.append(e.low)
                values.append(e.value)
                highs.append(e.high)
    assert found.value == max(values)
    assert found.low == max(0, *lows)
    assert found.high == max(highs)
    assert found.n == (groups >= 0).sum()


def test_sound_models_are_rarely_called_biased():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 60)
    labels = groups // 4
    called, worlds = 0, 200
    for _ in range(worlds):
        right = rng.random(480) < np.where(labels == 0, 0.9, 0.7)
        gap = gap_within_classes(answers(right, labels, groups), 8, 2)
        called += gap.low > 0
    assert called / worlds <= 0.05 + 0.02


def test_all_seeds_are_asked_and_groups_that_cannot_be_compared_say_so():
    groups = np.repeat(np.arange(4), 100)
    labels = groups // 2
    fine = answers(np.ones(400, bool), labels, groups)
    bad = answers(np.isin(groups, (0, 3)), labels, groups)
    biased, why = relies_on_cue(
        Answers([fine, bad, bad], []), NAMES, CLASSES, grouped=True, tolerated_flips=0.05
    )
    assert biased is True
    assert "mean of 3 seeds" in why
    lone = np.where(labels == 0, 0, 3)
    nothing, why = relies_on_cue(
        Answers([answers(np.ones(400, bool), labels, lone)], []), NAMES, CLASSES, grouped=True,
        tolerated_flips=0.05,
    )  # fmt: skip
    assert nothing is None
    assert "no class has images of two groups" in why


# --- intervals over seeds that share their images -------------------------------------------------


@pytest.mark.parametrize("between", [0.0, 0.03])
def test_joined_intervals_cover_the_mean_over_images_and_seeds(between):
    """Images are drawn once and shared by three seeds, whose true accuracies differ."""
    from scipy import stats

    from sundog.core.statistics import wilson_interval

    rng = np.random.default_rng(1)
    covered, worlds, n, mean = 0, 1000, 150, 0.8
    for _ in range(worlds):
        hard = rng.normal(size=n)
        runs = []
        for _ in range(3):
            share = mean + between * rng.normal()
            z = np.sqrt(0.7) * hard + np.sqrt(0.3) * rng.normal(size=n)
            runs.append(wilson_interval(int((z < stats.norm.ppf(share)).sum()), n))
        joined = join_seeds(runs)
        covered += joined.low <= mean <= joined.high
        assert joined.n == n
    assert covered / worlds >= 0.94


def test_seeds_do_not_shrink_the_uncertainty_of_the_images():
    one = Estimate(0.8, 0.75, 0.84, 300, 0.95, "wilson")
    many = join_seeds([one] * 10)
    assert (many.low, many.high) == pytest.approx((0.75, 0.84))
    assert many.n == 300


# --- parts that share no image --------------------------------------------------------------------


def folder_of(root, images, labels):
    from PIL import Image

    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        place = root / CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number}.png")


def test_no_image_is_in_two_parts(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (60, SIDE, SIDE, 3)).astype(np.uint8)
    labels = np.arange(60) % 2
    for name, rows in (("train", range(40)), ("held", range(30, 50)), ("test", range(44, 60))):
        folder_of(tmp_path / name, pixels[list(rows)], labels[list(rows)])
    held, test = str(tmp_path / "held"), str(tmp_path / "test")
    found = open_sources(str(tmp_path / "train"), held, test)
    parts = [set(s.ids) for s in (found.train, found.validation, found.test)]
    assert [len(p) for p in parts] == [30, 14, 16]
    assert not parts[0] & (parts[1] | parts[2])
    assert not parts[1] & parts[2]
    assert "trained on 30 images" in found.split
    assert "16 copies" in found.split
    with pytest.raises(DataError, match="validation images"):
        open_sources(str(tmp_path / "train"), held, held)


def test_other_labels_groups_or_resizing_are_another_run(noise):
    same = noise_set(160, seed=1)
    base = identity_of(noise)
    flipped = same.relabelled(1 - same.labels, CLASSES)
    assert identity_of(data_of(noise_set(200, seed=0), flipped, noise_set(160, seed=2))) != base
    moved = image_set(
        np.stack([same.image(i) for i in range(160)]), same.labels, place=np.arange(160) // 80,
        ids=list(same.ids),
    )  # fmt: skip
    assert identity_of(data_of(noise_set(200, seed=0), moved, noise_set(160, seed=2))) != base
    cropped = make_debias_data(
        Sources(*(noise_set(c, seed=s) for s, c in enumerate((200, 160, 160))), "made here"),
        size=SIDE, group_column="place", resize="crop",
    )  # fmt: skip
    assert identity_of(cropped) != base
    again = data_of(*(noise_set(c, seed=s) for s, c in enumerate((200, 160, 160))))
    assert identity_of(again) == base


def test_windows_of_a_class_with_fewer_images_than_neighbours():
    """30 images per class, 50 neighbours by default."""
    data = data_of(*(noise_set(60, seed=s, signal=20.0) for s in range(3)))
    model = linear()
    asked = measure(model, data.test, seed=0)
    found = frozen_windows(model, data, asked, {"same": asked}, windows=4, progress=False)
    assert found is not None
    assert found.before.n.sum() == 60
    np.testing.assert_array_equal(found.before.n, found.after["same"].n)


# --- known-bad repairs and gates ------------------------------------------------------------------


def test_a_head_that_was_initialised_anew_is_not_kept(tmp_path, monkeypatch):
    """A repair that throws the head away, on images with a clear signal."""
    data = data_of(*(noise_set(160, seed=s, signal=25.0) for s in range(3)))
    model = Classifier(
        nn.Sequential(nn.Flatten(), nn.Identity(), nn.Linear(3 * SIDE * SIDE, 2)),
        class_names=CLASSES, input_size=(SIDE, SIDE), feature_layer="network.2:input",
    )  # fmt: skip
    weight = torch.ones(3 * SIDE * SIDE) / (3 * SIDE * SIDE)
    with torch.no_grad():  # brightness above 1/2 is class b
        model.network[2].weight.copy_(torch.stack([-weight, weight]) * 20)
        model.network[2].bias.copy_(torch.tensor([10.0, -10.0]))

    def anew(method, bench):
        fit = fitted_head(method, bench)
        draw = np.random.default_rng(0)
        return replace(fit, weight=draw.normal(0, 0.1, fit.weight.shape), bias=0 * fit.bias)

    monkeypatch.setattr("sundog.audit.debias_run.fitted_head", anew)
    run = debias_classifier(
        model, data, tmp_path / "r", progress=False,
        settings=DebiasSettings(methods=("dfr",), seeds=(0,), force=True),
    )  # fmt: skip
    assert run.before.scores["average"].value > 0.95
    assert run.chosen == ""
    assert run.results[0].change["average"].high < -0.2
    assert run.choice.change["dfr"].high < 0


def test_a_model_in_train_mode_is_not_measured(noise):
    with pytest.raises(ModelStateError, match="eval mode"):
        measure(linear().train(), noise.validation, seed=0)


def test_the_gate_of_jtt_judges_the_training_errors_it_would_use():
    """The model errs on conflicting validation images, but on other training images."""
    made = []
    for seed, count in ((0, 200), (1, 160), (2, 160)):
        images = noise_set(count, seed=seed)
        place = images.labels.copy()
        flipped = np.arange(count) % (20 if seed == 0 else 2) < 2 if seed == 0 else (
            np.arange(count) // 2 % 2 == 0
        )  # fmt: skip
        place[flipped] = 1 - place[flipped]
        pixels = np.stack([images.image(i) for i in range(count)])
        made.append(image_set(pixels, images.labels, place=place, ids=list(images.ids)))
    data = data_of(*made)
    conflict = data.alignment.conflicting
    assert conflict.mean() == pytest.approx(0.1)

    def table(part, wrong):
        labels = torch.from_numpy(part.labels)
        logits = torch.zeros(len(part), 2)
        logits[
            torch.arange(len(part)), torch.where(torch.from_numpy(wrong), 1 - labels, labels)
        ] = 1
        return FeatureTable(
            features=torch.zeros(len(part), 1), logits=logits, labels=labels,
            indices=torch.arange(len(part)), ids=part.images.image_set.ids,
        )  # fmt: skip

    assert errors_part("jtt") == "train"
    assert errors_part("afr") == "validation"
    right = gate_errors("jtt", data, table(data.train, conflict), {})
    assert right.allowed
    assert right.precision.value == 1
    assert (right.set_size, right.n, right.source) == (20, 200, "training groups")
    other = np.zeros(200, bool)
    other[np.flatnonzero(~conflict)[:20]] = True
    assert not gate_errors("jtt", data, table(data.train, other), {}).allowed
    none = gate_errors("jtt", data, table(data.train, np.zeros(200, bool)), {})
    assert not none.allowed
    assert "no errors" in none.reason
    held = conflicting(data) == 1
    assert gate_errors("afr", data, table(data.validation, held), {}).allowed
    assert gate_errors("afr", data, table(data.validation, ~held), {"force": True}).forced
