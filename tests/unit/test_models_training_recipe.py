"""The hooks of a training: what each is given, plain training unchanged, resumption."""

import numpy as np
import pytest
import torch
from torch import nn

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.data.arrays import from_arrays
from sundog.models.augment import augment_images, augmentation_draws, augmentation_moves
from sundog.models.feature_table import collect_features, forward_features, table_from_arrays
from sundog.models.train import train_classifier
from sundog.models.training_recipe import TrainingRecipe


def _set(count=24):
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = random.integers(0, 255, (count, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, :4] = 255
    return from_arrays(images, labels, ("dark", "light"))


def _train(recipe, path=None, epochs=3, **options):
    return train_classifier(
        "small-cnn", _set(), epochs=epochs, size=16, batch_size=8, device="cpu", recipe=recipe,
        out_dir=path, **options,
    )  # fmt: skip


def _weights(run):
    return {name: value.clone() for name, value in run.classifier.state_dict().items()}


def _equal(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_base_recipe_is_plain_training():
    assert _equal(_weights(_train(None)), _weights(_train(TrainingRecipe())))


class Recorder(TrainingRecipe):
    """Visits class 1 twice as often, learns a scale of its own, counts what it saw."""

    name = "recorder"

    def __init__(self):
        self.scale = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.scale.weight)
        self.seen = torch.zeros(24)
        self.draws = []

    def module(self):
        return self.scale

    def begin(self, classifier, images, options):
        self.classifier, self.images = classifier, images
        assert not classifier.training

    def begin_epoch(self, epoch):
        self.features = collect_features(self.classifier, self.images)

    def order(self, epoch, count, seed):
        weights = 1.0 + torch.from_numpy(self.images.image_set.labels)
        return torch.multinomial(weights.double(), count, replacement=True,
                                 generator=generator(seed, "weighted", epoch))  # fmt: skip

    def loss(self, network, step):
        features, logits = forward_features(self.classifier, step.images, network=network)
        assert self.classifier.training
        assert self.scale.training
        assert features.requires_grad
        self.draws.append((step.epoch, float(torch.rand(1, generator=generator(step.seed, "x")))))
        return nn.functional.cross_entropy(logits * self.scale.weight, step.labels)

    def after_step(self, step):
        self.seen.index_add_(0, step.indices, torch.ones(len(step)))

    def state(self):
        return {"seen": self.seen}

    def load_state(self, tensors):
        self.seen = tensors["seen"]

    def notes(self):
        return {"class_1": float(self.seen[1::2].sum()), "scale": float(self.scale.weight.detach())}


def test_hooks_are_called_and_what_they_keep_is_in_the_history():
    recipe = Recorder()
    run = _train(recipe)
    assert float(recipe.seen.sum()) == 72
    last = run.history.iloc[-1]["recipe"]
    assert last["class_1"] == float(recipe.seen[1::2].sum()) > 36
    assert last["scale"] != 1.0
    assert run.args["recipe"] == {"name": "recorder"}
    assert not run.classifier.training
    assert not recipe.scale.training


def test_a_run_killed_between_epochs_goes_on_as_if_it_had_not_been(tmp_path):
    whole = Recorder()
    wanted = _weights(_train(whole))

    class Killed(Recorder):
        def begin_epoch(self, epoch):
            if epoch == 2:
                raise KeyboardInterrupt
            super().begin_epoch(epoch)

    with pytest.raises(KeyboardInterrupt):
        _train(Killed(), tmp_path / "run")
    resumed = Recorder()
    assert _equal(wanted, _weights(_train(resumed, tmp_path / "run")))
    assert torch.equal(resumed.seen, whole.seen)
    assert torch.equal(resumed.scale.weight, whole.scale.weight)
    assert resumed.draws == [draw for draw in whole.draws if draw[0] == 2]


def test_moves_say_where_every_pixel_went():
    images = torch.rand(6, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    indices = torch.arange(6)
    draws = augmentation_draws(6, seed=1, epoch=0)
    moved = augment_images(images, indices, draws, augment="flip-shift")
    flipped, shifts = augmentation_moves(indices, draws, augment="flip-shift", image_size=(16, 24))
    assert flipped.any()
    assert not flipped.all()
    for image, now, flip, (down, right) in zip(
        images, moved, flipped, shifts.tolist(), strict=True
    ):
        start = image.flip(2) if flip else image
        for y, x in ((5, 7), (8, 12), (10, 16)):
            assert torch.equal(now[:, y - down, x - right], start[:, y, x])


def test_tables_refuse_nan_and_other_lengths():
    good = np.ones((3, 4))
    with pytest.raises(InputError, match="NaN or infinity in 1 of 3"):
        table_from_arrays(np.where(np.eye(3, 4) > 2, 0, good) * [[1], [np.nan], [1]], good)
    with pytest.raises(InputError, match="features \\[n, d\\]"):
        table_from_arrays(good, good[:2])
    table = table_from_arrays(good, good, [0, 1, 2])
    assert table.rows(np.array([True, False, True])).labels.tolist() == [0, 2]
    assert table.joined([table, table.rows([1])]).labels.tolist() == [0, 1, 2, 1]


def test_a_finished_run_of_a_network_of_ones_own_is_loaded(tmp_path):
    def own():
        torch.manual_seed(0)
        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 2))

    options = {"epochs": 2, "size": 16, "batch_size": 8, "device": "cpu", "out_dir": tmp_path}
    first = train_classifier(own(), _set(), **options)
    again = train_classifier(own(), _set(), **options)
    assert _equal(_weights(first), _weights(again))
    assert len(again.history) == len(first.history)
