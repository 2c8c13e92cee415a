"""An ensemble of classifiers and of wrapped classifiers: combination, storage, training."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from sundog.core.errors import CheckpointError, InputError, ModelStateError
from sundog.core.seeds import generator
from sundog.data.arrays import from_arrays
from sundog.data.image_set import ImageSet
from sundog.models.classifier import Classifier
from sundog.models.zoo import get_model
from sundog.risk.ensemble import EnsembleModel
from sundog.risk.ensemble_training import Bootstrap, member_seed, train_ensemble
from sundog.risk.fit_options import FitOptions
from sundog.risk.information import split_information
from sundog.risk.model import RiskModel
from sundog.risk.mve import MVE
from sundog.risk.wrapping import wrap

NAMES = ("dark", "bright", "red")


class Tiny(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.Tanh())
            self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def tiny(seed: int, names: tuple[str, ...] = NAMES) -> Classifier:
    return get_model(Tiny(seed), class_names=names, input_size=(8, 8))


def images(count: int = 10) -> torch.Tensor:
    return torch.rand((count, 3, 8, 8), generator=generator(0, "ensemble"))


def image_set(count: int = 48) -> ImageSet:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    pixels[labels == 0] //= 3
    pixels[labels == 2, :, :, 1:] //= 4
    return from_arrays(pixels, labels, class_names=NAMES)


def test_prediction_and_risks_are_those_of_the_mean():
    members, shown = [tiny(seed) for seed in range(4)], images()
    ensemble = EnsembleModel(members)
    found = ensemble(shown, return_risk=True)
    p = torch.stack([m(shown).double().softmax(dim=1) for m in members]).detach()
    slow = split_information(p)
    assert torch.allclose(ensemble(shown).softmax(dim=1).double(), p.mean(dim=0), atol=1e-6)
    assert torch.allclose(found.probabilities.double(), p.mean(dim=0), atol=1e-6)
    assert torch.equal(found.prediction, ensemble(shown).detach())
    assert torch.allclose(found.epistemic, slow.epistemic, atol=1e-6)
    assert torch.allclose(found.aleatoric, slow.aleatoric, atol=1e-6)
    assert found.representation is None
    assert ensemble.gives == ("epistemic", "aleatoric")
    assert len(ensemble) == 4
    assert "4 members" in repr(ensemble)


def test_one_member_disagrees_with_nobody():
    member, shown = tiny(0), images()
    found = EnsembleModel([member])(shown, return_risk=True)
    assert bool((found.epistemic == 0).all())
    assert torch.allclose(found.probabilities, member(shown).softmax(dim=1), atol=1e-6)
    assert torch.equal(found.predicted, member(shown).argmax(dim=1))


def test_two_certain_members_that_differ_are_one_bit_apart():
    members = [tiny(0), tiny(0)]
    for member, favourite in zip(members, (0, 1), strict=True):
        with torch.no_grad():
            member.network.head.weight.zero_()
            member.network.head.bias.copy_(80.0 * torch.eye(3)[favourite])
    found = EnsembleModel(members)(images(2), return_risk=True)
    assert found.epistemic.tolist() == pytest.approx([math.log(2)] * 2)
    assert found.aleatoric.tolist() == pytest.approx([0, 0], abs=1e-9)
    assert bool(torch.isfinite(found.prediction).all())


def wrapped(seed: int) -> RiskModel:
    return wrap(tiny(seed), "mve").fit(image_set(), options=FitOptions(epochs=1, seed=seed))


def test_members_with_mve_keep_both_risks():
    members, shown = [wrapped(seed) for seed in range(3)], images()
    ensemble = EnsembleModel(members)
    found = ensemble(shown, return_risk=True)
    each = [member(shown, return_risk=True) for member in members]
    mean = torch.stack([output.aleatoric for output in each]).mean(dim=0)
    plain = EnsembleModel([member.classifier for member in members])(shown, return_risk=True)
    assert torch.allclose(found.aleatoric, mean)
    assert torch.allclose(found.epistemic, plain.epistemic)
    assert float(found.epistemic.min()) > 0
    assert set(found.scores) == {"ensemble.epistemic", "ensemble.aleatoric", "mve.aleatoric"}
    assert torch.allclose(found.scores["mve.aleatoric"], mean)
    assert torch.allclose(found.scores["ensemble.aleatoric"], plain.aleatoric)
    one = EnsembleModel(members[:1])(shown, return_risk=True)
    assert bool((one.epistemic == 0).all())
    assert torch.allclose(one.aleatoric, each[0].aleatoric.double())


def test_representation_is_the_mean_of_the_members():
    members = [wrap(tiny(s), "knn", k=3).fit(image_set()) for s in range(2)]
    ensemble, shown = EnsembleModel(members), images()
    found = ensemble(shown, return_risk=True)
    each = [member(shown, return_risk=True) for member in members]
    mean = (each[0].representation + each[1].representation) / 2
    assert torch.allclose(found.representation, mean.double())
    assert ensemble.gives[0] == "representation"
    # Disagreement of the members comes first, their own epistemic risk stays among the scores.
    assert torch.equal(found.epistemic, found.scores["ensemble.epistemic"])
    assert "knn.epistemic" in found.scores


def test_fit_fits_every_member(tmp_path):
    ensemble = EnsembleModel([wrap(tiny(seed), "mve") for seed in range(2)])
    with pytest.raises(ModelStateError, match="fitted"):
        ensemble(images(), return_risk=True)
    logits = ensemble(images())
    ensemble.fit(image_set(), options=FitOptions(epochs=1), out_dir=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["member-000", "member-001"]
    assert torch.equal(ensemble(images()), logits)  # heads are kept, bit for bit
    found = ensemble.predict(image_set(), batch_size=7)
    again = ensemble.predict(image_set(), batch_size=48)
    assert torch.allclose(found.aleatoric, again.aleatoric, rtol=1e-5)
    assert torch.allclose(found.epistemic, again.epistemic, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("make", [tiny, wrapped])
def test_saved_and_loaded_answers_are_equal(make, tmp_path):
    ensemble, shown = EnsembleModel([make(seed) for seed in range(2)]), images()
    ensemble.save(tmp_path / "saved")
    again = EnsembleModel.load(tmp_path / "saved", network=Tiny)
    one, other = ensemble(shown, return_risk=True), again(shown, return_risk=True)
    assert torch.equal(one.prediction, other.prediction)
    assert torch.equal(one.epistemic, other.epistemic)
    assert torch.equal(one.aleatoric, other.aleatoric)
    assert again.class_names == NAMES


def test_members_from_folders(tmp_path):
    train_ensemble("small-cnn", image_set(), members=2, epochs=1, out_dir=tmp_path)
    folders = [tmp_path / "member-000", str(tmp_path / "member-001")]
    shown = images()
    loaded = EnsembleModel.load(tmp_path)
    assert torch.equal(EnsembleModel(folders)(shown), loaded(shown))


def test_training_makes_independent_members_that_do_not_depend_on_their_number(tmp_path):
    given = {"epochs": 1, "seed": 4, "out_dir": tmp_path}
    few = train_ensemble("small-cnn", image_set(), members=2, **given)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.glob("member-*/weights.safetensors")}
    more = train_ensemble("small-cnn", image_set(), members=3, **given)
    shown = images()
    for one, other in zip(few.classifiers, more.classifiers, strict=False):
        assert torch.equal(one(shown), other(shown))
    assert len(files) == 2
    for path, written in files.items():
        assert path.stat().st_mtime_ns == written  # resumed, not trained again
    assert torch.equal(EnsembleModel.load(tmp_path)(shown), more(shown))
    answers = [c(shown) for c in more.classifiers]
    assert not torch.equal(answers[0], answers[1])
    assert len({member_seed(4, number) for number in range(50)}) == 50


def test_a_function_makes_each_member_from_a_seed_of_its_own():
    seeds = []

    def make(seed: int) -> nn.Module:
        seeds.append(seed)
        return Tiny(seed)

    train_ensemble(make, image_set(), members=2, size=8, epochs=1, seed=4)
    assert seeds == [member_seed(4, 0), member_seed(4, 1)]


def test_a_module_is_copied_and_members_still_differ():
    network = Tiny(0)
    before = copy.deepcopy(network.state_dict())
    ensemble = train_ensemble(network, image_set(), members=2, size=8, epochs=1, batch_size=8)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    one, other = (c.network.head.weight for c in ensemble.classifiers)
    assert not torch.equal(one, other)


def test_bootstrap_draws_once_with_replacement():
    first, later = (Bootstrap(3).order(epoch, 1000, seed=9) for epoch in (0, 5))
    assert not torch.equal(first, later)
    assert torch.equal(first.sort().values, later.sort().values)
    assert 0.60 < len(first.unique()) / 1000 < 0.67  # 1 - 1/e
    assert not torch.equal(Bootstrap(4).order(0, 1000, seed=9), first)
    ensemble = train_ensemble(Tiny, image_set(), members=2, size=8, epochs=1, bootstrap=True)
    plain = train_ensemble(Tiny, image_set(), members=2, size=8, epochs=1)
    assert not torch.equal(ensemble(images()), plain(images()))
    with pytest.raises(InputError, match="bootstrap"):
        train_ensemble(Tiny, image_set(), bootstrap=True, recipe=Bootstrap(0), epochs=1)


def test_bad_members_are_refused(tmp_path):
    with pytest.raises(InputError, match="at least one"):
        EnsembleModel([])
    with pytest.raises(InputError, match="classes"):
        EnsembleModel([tiny(0), tiny(1, ("a", "b", "c"))])
    same = tiny(0)
    with pytest.raises(InputError, match="networks of their own"):
        EnsembleModel([same, same])
    with pytest.raises(InputError, match="risk methods"):
        EnsembleModel([tiny(0), wrap(tiny(1), MVE())])
    other = get_model(Tiny(2), class_names=NAMES, input_size=(8, 8))
    other.input_size = (16, 16)
    with pytest.raises(InputError, match="input size"):
        EnsembleModel([tiny(0), other])
    training = tiny(1)
    training.train()
    with pytest.raises(ModelStateError, match="eval"):
        EnsembleModel([tiny(0), training])
    with pytest.raises(InputError, match="members"):
        train_ensemble(Tiny, image_set(), members=0)
    with pytest.raises(CheckpointError, match=r"ensemble\.json"):
        EnsembleModel.load(tmp_path)
    (tmp_path / "ensemble.json").write_text('{"format": 99, "members": []}')
    with pytest.raises(CheckpointError, match="format"):
        EnsembleModel.load(tmp_path)


def test_members_put_into_train_mode_later_are_refused():
    ensemble = EnsembleModel([tiny(0), tiny(1)])
    ensemble.train()
    with pytest.raises(ModelStateError, match="eval"):
        ensemble(images(), return_risk=True)
    ensemble.eval()
    assert len(ensemble(images(), return_risk=True)) == 10


def test_members_without_names_must_agree_on_the_number_of_classes():
    wide = Tiny(1)
    wide.head = nn.Linear(6, 4)
    members = [get_model(n, input_size=(8, 8)) for n in (Tiny(0), wide)]
    members = [Classifier(m.network, input_size=(8, 8)) for m in members]
    with pytest.raises(InputError, match="same classes"):
        EnsembleModel(members)(images())
