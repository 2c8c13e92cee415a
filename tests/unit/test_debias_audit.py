"""The debiasing run's arithmetic: seeds joined, the choice, groups and cues in the right rows."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from sundog.audit.debias_data import make_debias_data
from sundog.audit.debias_decide import _by_attribute, decide
from sundog.audit.debias_gates import choose_methods, conflicting, known_needs
from sundog.audit.debias_measure import Measured, changes_of, scores_of
from sundog.audit.debias_methods import Workbench, _filled, training_recipe
from sundog.audit.debias_parameters import check_method_parameters
from sundog.audit.debias_reliance import relies_on_cue
from sundog.audit.debias_sources import Sources, open_sources
from sundog.audit.debias_summary import Answers, choose, join_seeds
from sundog.audit.group_column import column_values, value_codes
from sundog.audit.risk_scores import from_frame, to_frame
from sundog.core.errors import InputError, UnknownNameError
from sundog.core.statistics import Estimate
from sundog.data.arrays import from_arrays
from sundog.data.planting import make_cue
from sundog.models.prepared import PreparedImages
from sundog.models.zoo import get_model
from sundog.risk.output import join_scores

CLASSES = ("a", "b")


def _estimate(value, low, high):
    return Estimate(value, low, high, 50, 0.95, "wilson")


def test_joined_seeds_keep_the_images_uncertainty_and_add_the_spread():
    found = join_seeds(
        [_estimate(0.5, 0.4, 0.7), _estimate(0.6, 0.5, 0.7), _estimate(0.4, 0.3, 0.6)]
    )
    t, sd = 4.302652729911275, 0.1
    below = math.sqrt((0.1**2 + 0.1**2 + 0.1**2) / 3 + t**2 * sd**2 / 3)
    above = math.sqrt((0.2**2 + 0.1**2 + 0.2**2) / 3 + t**2 * sd**2 / 3)
    assert found.value == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5 - below)
    assert found.high == pytest.approx(0.5 + above)
    assert found.method == "images and 3 seeds"


def test_two_seeds_have_the_interval_of_the_images_and_say_so():
    found = join_seeds([_estimate(0.5, 0.4, 0.6), _estimate(0.7, 0.6, 0.8)])
    assert (found.low, found.high) == (pytest.approx(0.5), pytest.approx(0.7))
    assert found.method == "images, mean of 2 seeds"
    with pytest.raises(InputError):
        join_seeds([])


def _measured(correct, labels, groups, without=None, against=None):
    labels = np.asarray(labels)

    def rows(right):
        guess = np.where(right, labels, 1 - labels)
        return np.where(np.arange(2)[None, :] == guess[:, None], 0.9, 0.1)

    return Measured(
        indices=np.arange(len(labels)),
        labels=labels,
        groups=np.asarray(groups),
        probabilities=rows(np.asarray(correct, bool)),
        without=None if without is None else rows(np.asarray(without, bool)),
        against=None if against is None else rows(np.asarray(against, bool)),
    )


def test_flips_and_cue_free_accuracy_are_counted_image_by_image():
    found = _measured([1, 1, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1], [1, 1, 0, 0], [0, 1, 0, 1])
    scores, groups = scores_of(found, CLASSES, CLASSES)
    assert scores["flip_rate"].value == 0.5  # first and last image
    assert scores["without_cue"].value == 0.5
    assert scores["with_other_cue"].value == 0.5
    assert scores["average"].value == 0.75
    assert scores["worst_group"].value == 0.5
    assert groups.worst_group == "b"
    better = _measured([1, 1, 1, 1], [0, 1, 0, 1], [0, 1, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1])
    changes, _ = changes_of(found, better, CLASSES, CLASSES)
    assert changes["flip_rate"].value == -0.5
    assert changes["worst_group"].value == 0.5
    again = Measured.of(found.frame())
    assert np.array_equal(again.against, found.against)


def _answers(rates, n=200, seeds=3, seed=0, shared=None):
    """Draw answers with an accuracy per group; groups are class x aligned."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    groups = labels * 2 + (np.arange(n) // 2) % 2
    base = random.random(n) if shared is None else shared
    out = []
    for _ in range(seeds):
        noise = 0.7 * base + 0.3 * random.random(n)
        out.append(_measured(noise < np.asarray(rates)[groups], labels, groups))
    return Answers(out, out)


NAMES = ("a x 0", "a x 1", "b x 0", "b x 1")


def test_a_real_gain_is_chosen_and_noise_is_not():
    base = np.random.default_rng(5).random(200)
    before = _answers([0.9, 0.4, 0.9, 0.5], shared=base)
    good = _answers([0.85, 0.8, 0.85, 0.8], seed=1, shared=base)
    found = choose(before, {"good": good, "same": before}, NAMES, CLASSES, grouped=True)
    assert found.name == "good"
    assert found.change["good"].low > 0
    same = {f"m{i}": _answers([0.9, 0.4, 0.9, 0.5], seed=i + 2, shared=base) for i in range(5)}
    nothing = choose(before, same, NAMES, CLASSES, grouped=True)
    assert nothing.name == ""
    assert "corrected for 5 methods" in nothing.reason


def test_null_worlds_seldom_choose_anything():
    chosen = 0
    for world in range(20):
        base = np.random.default_rng(100 + world).random(120)
        before = _answers([0.8] * 4, n=120, seed=world, shared=base)
        tried = {
            f"m{i}": _answers([0.8] * 4, n=120, seed=1000 * (i + 1) + world, shared=base)
            for i in range(3)
        }
        chosen += bool(choose(before, tried, NAMES, CLASSES, grouped=True).name)
    assert chosen <= 1


def test_reliance_is_seen_in_gaps_or_flips_and_unknown_without_either():
    biased = _answers([0.95, 0.3, 0.95, 0.3])
    assert relies_on_cue(biased, NAMES, CLASSES, grouped=True, tolerated_flips=0.05)[0] is True
    sound = _answers([0.8] * 4)
    assert relies_on_cue(sound, NAMES, CLASSES, grouped=True, tolerated_flips=0.05)[0] is False
    assert relies_on_cue(sound, NAMES, CLASSES, grouped=False, tolerated_flips=0.05)[0] is None


def _set(count=80, classes=CLASSES, name="s", seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(classes)
    images = random.integers(0, 255, (count, 20, 20, 3), dtype=np.uint8)
    return from_arrays(images, labels, classes, name=name)


def _data(strength=0.9, classes=CLASSES, **options):
    sources = Sources(
        _set(80, classes), _set(60, classes, seed=1), _set(64, classes, seed=2), "made here"
    )
    cue = make_cue("patch", class_count=len(classes), strength=strength, size=0.3)
    return make_debias_data(sources, size=20, cue=cue, **options)


def test_groups_masks_and_pixels_belong_to_the_same_image():
    data = _data()
    for part in (data.train, data.validation, data.test):
        table = part.images.image_set.metadata
        shown = table["cue_class"].to_numpy()
        assert np.array_equal(part.raw, [data_value(data, value) for value in shown])
        for index in (0, 7, 31):
            mask = part.masks([index])[0].numpy()
            image = next(part.images.batches(torch.tensor([index]))).images[0].numpy()
            colours = image[:, mask]
            assert np.allclose(colours, colours[:, :1])  # one colour under the mask
            assert mask.any()
        names = np.array(part.groups.names)[part.groups.ids]
        for label, value, name in zip(part.labels, part.raw, names, strict=True):
            assert name == f"{CLASSES[label]} x {data.attribute_names[value]}"
    assert data.alignment.share.value == pytest.approx(
        data.train.images.image_set.metadata["aligned"].mean()
    )
    aligned = data.validation.images.image_set.metadata["aligned"].to_numpy()
    assert np.array_equal(conflicting(data) == 0, aligned)
    assert 0.3 < aligned.mean() < 0.7


def data_value(data, shown):
    return data.attribute_names.index(str(shown))


def test_many_classes_are_grouped_by_aligned_and_conflicting():
    classes = tuple("abcdefg")
    data = _data(classes=classes)
    assert data.attribute_names == ("aligned", "conflicting")
    table = data.test.images.image_set.metadata
    wanted = np.where(table["aligned"], 0, 1)
    assert np.array_equal(data.test.attribute, wanted)
    assert len(data.test.groups) == 14


def test_a_cue_over_the_whole_image_has_no_editor_and_says_so():
    sources = Sources(_set(), _set(seed=1), _set(seed=2), "made here")
    cue = make_cue("tint", class_count=2, strength=0.9)
    data = make_debias_data(sources, size=20, cue=cue)
    assert data.train.editor is None
    assert any("covers 100%" in note for note in data.notes)
    assert "masks" not in known_needs(data)
    assert "train_groups" in known_needs(data)


def test_full_alignment_refuses_weights_and_says_what_to_do():
    admitted = choose_methods(["group_dro", "dfr", "cue_augmentation", "jtt"], _data(strength=1.0))
    assert admitted.methods == ("dfr", "cue_augmentation")
    assert [(r.name, r.gate) for r in admitted.refused] == [
        ("group_dro", "alignment"),
        ("jtt", "alignment"),
    ]
    assert "cue_augmentation" in admitted.refused[0].instead
    with pytest.raises(UnknownNameError):
        choose_methods(["dffr"], _data())
    assert "cue_augmentation" in choose_methods(["auto"], _data()).methods


def test_without_groups_and_masks_only_what_needs_nothing_runs():
    sources = Sources(_set(), _set(seed=1), _set(seed=2), "made here")
    data = make_debias_data(sources, size=20)
    admitted = choose_methods(["dfr", "class_balance", "cue_augmentation"], data)
    assert admitted.methods == ("class_balance",)
    assert {r.gate for r in admitted.refused} == {"needs"}


def test_the_test_half_shares_no_image_with_the_validation_half():
    sources = open_sources("digits", limit=200)
    sets = [set(s.ids) for s in (sources.train, sources.validation, sources.test)]
    assert len(sets[0]) == 200
    assert not sets[1] & sets[2]
    assert not sets[0] & (sets[1] | sets[2])


def test_column_values_and_codes():
    images = _set(4)
    images.metadata["place"] = ["in", None, " out ", ""]
    assert column_values(images, "place") == ["in", "", "out", ""]
    codes = value_codes(column_values(images, "place"), ("in", "out"), column="place")
    assert codes.tolist() == [0, -1, 1, -1]
    with pytest.raises(UnknownNameError, match="place"):
        column_values(images, "plaec")
    with pytest.raises(InputError, match="50"):
        value_codes(["x"], tuple(map(str, range(60))), column="id")


def test_risks_survive_the_run_folder():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    output = join_scores(logits, {"knn": {"representation": torch.arange(5.0)}}, methods=("knn",))
    frame = to_frame(output)
    assert isinstance(frame, pd.DataFrame)
    again = from_frame(frame)
    assert torch.equal(again.prediction, output.prediction)
    assert torch.equal(again.representation, output.representation)
    assert again.indices.tolist() == [0, 1, 2, 3, 4]
    assert set(again.scores) == {"knn.representation"}


def test_prepared_parts_have_the_size_asked_for():
    data = _data()
    assert isinstance(data.train.images, PreparedImages)
    assert data.train.images.image_size == (20, 20)


def test_groups_without_validation_images_are_left_out_of_the_balance():
    ids, names = _filled(np.array([3, 0, -1, 3]), ("a", "b", "c", "d"))
    assert names == ["a", "d"]
    assert ids.tolist() == [1, 0, -1, 1]


def test_small_groups_are_pooled_over_the_classes_for_the_choice():
    data = _data()
    base = np.random.default_rng(5).random(80)
    before = _answers([0.95, 0.4, 0.95, 0.4], n=80, shared=base)
    good = _answers([0.9, 0.9, 0.9, 0.9], n=80, seed=1, shared=base)
    found = decide(data, before, {"dfr": good})
    assert found.name == "dfr"
    assert "smallest group has 20 validation images" in found.statement
    right = before.validation[0].probabilities.argmax(axis=1) == before.validation[0].labels
    by_hand = min(right[before.validation[0].groups % 2 == k].mean() for k in (0, 1))
    pooled = _by_attribute(before.validation[0], 2)
    assert scores_of(pooled, ("0", "1"), CLASSES)[0]["worst_group"].value == by_hand
    large = _answers([0.95, 0.4, 0.95, 0.4], n=200)
    assert "pooled" not in decide(data, large, {"dfr": large}).statement
    assert decide(data, before, {"erm": good}) is None


@pytest.mark.parametrize(
    ("given", "swap", "place", "modes"),
    [
        ({}, "paste", "same", ["swap"]),
        ({"swap": "recolour"}, "recolour", "same", ["swap"]),
        ({"place": "random"}, "paste", "random", ["swap"]),
        ({"mode": "remove"}, "paste", "same", ["remove"]),
    ],
)
def test_a_cue_can_be_pasted_recoloured_or_painted_over_by_name(given, swap, place, modes):
    data = _data()
    before = get_model("small-cnn", classes=2, input_size=20)
    check_method_parameters({"cue_augmentation": given})
    bench = Workbench(data, before, 0, {"cue_augmentation": given})
    about = training_recipe("cue_augmentation", bench).describe()
    editor = about["editor"]
    assert (editor["swap"], editor["place"], about["modes"]) == (swap, place, modes)
    assert editor["donors_by"] == data.train.editor.describe()["donors_by"]


def test_an_unknown_way_to_edit_a_cue_is_refused():
    bench = Workbench(
        _data(),
        get_model("small-cnn", classes=2, input_size=20),
        0,
        {"cue_augmentation": {"swap": "blur"}},
    )
    with pytest.raises(InputError, match="paste"):
        training_recipe("cue_augmentation", bench)
