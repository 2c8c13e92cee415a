"""Training with a cue on every image: plain training falls for it, the cue methods do not."""

import numpy as np
import pytest
import torch

from sundog.core.errors import InputError
from sundog.data.arrays import from_arrays
from sundog.data.load import load_image_set
from sundog.data.planted_view import PlantedMasks, planted_view
from sundog.data.planting import make_cue
from sundog.debias.cue_augmentation import CueAugmentation
from sundog.debias.mask_editor import MaskEditor
from sundog.debias.masked_pairs import masked_pairs
from sundog.debias.planted_editor import PlantedEditor
from sundog.debias.projection import projection
from sundog.debias.right_reasons import RightReasons, gradient_penalty
from sundog.models.evaluate import evaluate_classifier
from sundog.models.feature_table import collect_features
from sundog.models.nets import SmallCNN
from sundog.models.prepared import PreparedImages
from sundog.models.train import train_classifier

CLASSES = (3, 5, 8)
SIZE = 28


@pytest.fixture(scope="module")
def world():
    digits = load_image_set("digits", split="train", class_names=None)
    keep = np.flatnonzero(np.isin(digits.labels, CLASSES))
    pixels = np.stack([digits.image(i) for i in keep])
    labels = np.searchsorted(CLASSES, digits.labels[keep])
    order = np.random.default_rng(0).permutation(len(keep))
    train, test = order[:600], order[600:1000]
    names = [str(c) for c in CLASSES]
    cue = make_cue("patch", class_count=3, strength=1.0, size=0.2, corner="top_left")
    clean = from_arrays(pixels[train], labels[train], names)
    held_out = from_arrays(pixels[test], labels[test], names)
    against = (labels[test] + 1) % 3
    return {
        "cue": cue,
        "clean": PreparedImages(clean, size=SIZE),
        "train": planted_view(clean, cue, size=SIZE),
        "masks": PlantedMasks(clean, cue, size=SIZE),
        "none": held_out,
        "conflict": planted_view(held_out, cue, size=SIZE, cue_class=against),
    }


def trained(world, recipe=None, **options):
    torch.manual_seed(0)
    settings = {"epochs": 3, "batch_size": 32, "learning_rate": 3e-3, "size": SIZE, "seed": 1}
    return train_classifier(
        SmallCNN(3), world["train"], recipe=recipe, device="cpu", **(settings | options)
    )


def accuracy(world, classifier, which):
    return evaluate_classifier(classifier, PreparedImages(world[which], size=SIZE)).accuracy.value


@pytest.fixture(scope="module")
def erm(world):
    return trained(world).classifier


def test_plain_training_follows_the_cue(world, erm):
    assert accuracy(world, erm, "conflict") < 0.2


@pytest.mark.parametrize("kind", ["paste", "planted", "remove"])
def test_augmentation_frees_the_classifier_at_full_alignment(world, kind):
    view = PreparedImages(world["train"], size=SIZE)
    if kind == "planted":
        recipe = CueAugmentation(PlantedEditor(world["clean"], world["cue"]))
    else:
        modes = ("swap",) if kind == "paste" else ("swap", "remove")
        recipe = CueAugmentation(MaskEditor(view, world["masks"]), modes=modes)
    run = trained(world, recipe, augment="flip-shift", epochs=4)
    assert accuracy(world, run.classifier, "conflict") > 0.8
    assert accuracy(world, run.classifier, "none") > 0.8
    notes = run.history["recipe"].iloc[-1]
    assert notes == {"edited": 600, "seen": 600}


def test_right_reasons_lean_less_on_the_cue(world, erm):
    run = trained(world, RightReasons(world["masks"], strength=100), augment="flip")
    mirrored = trained(world, augment="flip").classifier
    gain = accuracy(world, run.classifier, "conflict") - accuracy(world, mirrored, "conflict")
    assert gain > 0.3
    assert run.history["recipe"].iloc[-1]["masked_images"] == 600


def test_projection_and_refit_repair_a_trained_classifier(world, erm):
    view = PreparedImages(world["train"], size=SIZE)
    editor = MaskEditor(view, world["masks"])
    pairs = masked_pairs(erm, view, editor, limit=None)
    assert pairs.flipped > 0.3
    fit = projection(pairs.with_cue, pairs.with_cue, pairs.without_cue, directions=4)
    repaired = fit.apply(erm)
    before, after = (accuracy(world, c, "conflict") for c in (erm, repaired))
    assert after > 0.7 > 0.3 > before
    biased = collect_features(erm, view)
    plain = projection(biased, pairs.with_cue, pairs.without_cue, directions=4)
    assert accuracy(world, plain.apply(erm), "conflict") > before + 0.3


def test_a_resumed_run_equals_an_uninterrupted_one(world, tmp_path):
    view = PreparedImages(world["train"], size=SIZE)

    def recipe(kind=CueAugmentation):
        return kind(MaskEditor(view, world["masks"]), probability=0.7, modes=("swap", "remove"))

    class Killed(CueAugmentation):
        def begin_epoch(self, epoch):
            if epoch == 1:
                raise KeyboardInterrupt
            super().begin_epoch(epoch)

    options = {"epochs": 2, "augment": "flip-shift"}
    whole = trained(world, recipe(), **options).classifier
    with pytest.raises(KeyboardInterrupt):
        trained(world, recipe(Killed), out_dir=tmp_path, **options)
    resumed = trained(world, recipe(), out_dir=tmp_path, **options).classifier
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_editor_of_other_images_is_refused(world):
    other = PreparedImages(world["train"].subset(range(10)), size=SIZE)
    masks = PlantedMasks(world["clean"].image_set.subset(range(10)), world["cue"], size=SIZE)
    with pytest.raises(InputError, match="made for 600 images"):
        trained(world, CueAugmentation(MaskEditor(other, masks)))
    with pytest.raises(InputError, match="600 of"):
        trained(world, RightReasons(masks))


def test_the_penalty_of_a_linear_network_by_hand():
    """g = sum_c w_c - K sum_j p_j w_j for logits = W x + b."""
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 3 * 5 * 6)), rng.normal(size=4)
    x, masks = rng.random((7, 3, 5, 6)), rng.random((7, 5, 6)) < 0.4
    masks[2] = False

    def by_hand(w):
        logits = x.reshape(7, -1) @ w.T + bias
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        g = (w.sum(0) - 4 * p @ w).reshape(x.shape)
        inside = ((g**2).sum(1) * masks).sum((1, 2))
        return inside.mean(), (inside / (g**2).sum((1, 2, 3))).mean()

    def ours(w, kind):
        images = torch.tensor(x).requires_grad_(True)
        logits = (images.flatten(1) @ w.T + torch.tensor(bias)).double()
        return gradient_penalty(logits, images, torch.tensor(masks), kind=kind)

    for position, kind in enumerate(("squared", "share")):
        w = torch.tensor(weight).requires_grad_(True)
        found = ours(w, kind)
        assert float(found.detach()) == pytest.approx(by_hand(weight)[position], rel=1e-5)
        found.backward()
        for row, column in ((0, 3), (2, 50), (3, 89)):
            step = np.zeros_like(weight)
            step[row, column] = 1e-5
            slope = (by_hand(weight + step)[position] - by_hand(weight - step)[position]) / 2e-5
            assert float(w.grad[row, column]) == pytest.approx(slope, rel=1e-2, abs=1e-4)
