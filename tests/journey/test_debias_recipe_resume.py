"""A debiasing run that stopped goes on and ends with the same bits, whatever the recipe."""

import json

import numpy as np
import pytest
import torch

from sundog.data.arrays import from_arrays
from sundog.debias.adaptive_resampling import AdaptiveResampling
from sundog.debias.group_dro import GroupDRO
from sundog.debias.group_sampling import GroupReweighting, GroupSubsampling
from sundog.debias.just_train_twice import Upweighting
from sundog.debias.lisa import Lisa
from sundog.debias.noisy_labels import NoisyRemoval
from sundog.models.feature_table import collect_features
from sundog.models.train import train_classifier

COUNT = 40
LABELS = np.arange(COUNT) % 2
KINDS = (np.arange(COUNT) % 5 == 0).astype(np.int64)
OPTIONS = {"epochs": 3, "batch_size": 8, "augment": "flip-shift", "device": "cpu"}


def noise():
    draw = np.random.default_rng(2)
    images = draw.integers(0, 256, (COUNT, 16, 16, 3), dtype=np.uint8)
    return from_arrays(images, LABELS, ("a", "b"))


def adaptive():
    """A Gaussian density of the features of the classifier that is being trained."""

    def density():
        features = collect_features(recipe.classifier, recipe.images).features.double().numpy()
        return -0.5 * ((features - features.mean(axis=0)) ** 2).sum(axis=1)

    recipe = AdaptiveResampling(GroupDRO(LABELS * 2 + KINDS, balanced=False), density)
    return recipe


RECIPES = {
    "adaptive": adaptive,
    "group_dro": lambda: GroupDRO(LABELS * 2 + KINDS, eta=0.5, adjustment=1.0),
    "reweighting": lambda: GroupReweighting(LABELS * 2 + KINDS),
    "subsampling": lambda: GroupSubsampling(LABELS * 2 + KINDS, redraw=True),
    "lisa": lambda: Lisa(KINDS),
    "upweighting": lambda: Upweighting(KINDS == 1, factor=5),
    "noisy_removal": lambda: NoisyRemoval(np.arange(COUNT) % 7 != 0),
}


class StoppedError(Exception):
    pass


def stop_at(recipe, epoch):
    begin = recipe.begin_epoch

    def watched(number):
        if number == epoch:
            raise StoppedError
        begin(number)

    recipe.begin_epoch = watched
    return recipe


def train(recipe, folder, *, threads=1):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return train_classifier(
            "small-cnn", noise(), recipe=recipe, out_dir=folder, progress=False, **OPTIONS
        )
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_stopped_run_resumes_to_the_same_bits(name, tmp_path):
    make = RECIPES[name]
    whole = train(make(), tmp_path / "whole")
    with pytest.raises(StoppedError):
        train(stop_at(make(), 2), tmp_path / "parts")
    resumed = train(make(), tmp_path / "parts")
    assert (tmp_path / "whole/weights.safetensors").read_bytes() == (
        tmp_path / "parts/weights.safetensors"
    ).read_bytes()
    columns = ["epoch", "accuracy", "train_loss", "recipe"]
    assert resumed.history[columns].to_dict("records") == whole.history[columns].to_dict("records")
    notes = json.loads((tmp_path / "parts/test.json").read_text().splitlines()[-1])["recipe"]
    assert notes == resumed.history["recipe"].iloc[-1]


def test_the_adaptive_notes_tell_warm_up_and_weights(tmp_path):
    history = train(adaptive(), tmp_path / "run").history["recipe"].tolist()
    assert [notes["phase"] for notes in history] == ["warm-up"] + ["resampled"] * 2
    assert all(0.45 < notes["effective_share"] <= 1 for notes in history[1:])
    assert history[1]["inner"]["weights"].keys() == {f"group {g}" for g in range(4)}
