"""Similarity of maps against scipy and scikit-image; model randomisation on networks we know."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from sundog.core.errors import InputError, ModelStateError, UnknownNameError
from sundog.faithfulness.sanity import model_randomisation
from sundog.faithfulness.similarity import spearman, structural_similarity
from sundog.faithfulness.weights import randomise, weight_stages
from sundog.models.classifier import Classifier


def _rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _relu_like(*shape, seed=0):
    return (_rand(*shape, seed=seed) * 6 - 3).round().clamp(min=-1)  # many ties


@pytest.mark.parametrize("absolute", [False, True])
def test_spearman_is_scipys_with_ties(absolute):
    a, b = _relu_like(4, 9, 8), _relu_like(4, 9, 8, seed=1)
    got = spearman(a, b, absolute=absolute)
    for k in range(4):
        x, y = (m[k].flatten().numpy() for m in (a, b))
        if absolute:
            x, y = np.abs(x), np.abs(y)
        assert got[k] == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_spearman_of_a_constant_or_broken_map_is_nan():
    a = _rand(3, 5, 5)
    a[0], a[1, 0, 0] = 1.0, math.nan
    got = spearman(a, _rand(3, 5, 5, seed=2))
    assert np.isnan(got).tolist() == [True, True, False]
    assert np.isnan(structural_similarity(a, a)).tolist() == [False, True, False]
    assert spearman(a, -a)[2] == pytest.approx(-1)
    assert spearman(a, -a, absolute=True)[2] == pytest.approx(1)


@pytest.mark.parametrize(("h", "w"), [(7, 7), (20, 31)])
def test_ssim_is_scikit_images(h, w):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = _rand(3, h, w), _rand(3, h, w, seed=1)
    b[2] = a[2] + 0.1 * b[2]
    got = structural_similarity(a * 5 - 2, b)
    for k in range(3):
        x, y = (((m - m.min()) / (m.max() - m.min())).numpy() for m in (a[k], b[k]))
        assert got[k] == pytest.approx(metrics.structural_similarity(x, y, data_range=1), abs=1e-9)


def test_ssim_of_small_maps_and_equal_maps():
    a = _rand(2, 4, 9)
    assert structural_similarity(a, a) == pytest.approx([1, 1])
    assert structural_similarity(torch.ones(1, 1, 1), torch.zeros(1, 1, 1)) == pytest.approx([1])
    with pytest.raises(InputError, match="window must be odd"):
        structural_similarity(a, a, window=4)
    with pytest.raises(InputError, match="same shape"):
        spearman(a, a[:1])


class _Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        return self.attend(x, x, x, need_weights=False)[0].mean(1)


def _network():
    rng = torch.Generator().manual_seed(0)
    net = nn.Sequential()
    # Defined last, called first: the stages follow the calls, not the definition.
    net.add_module("stem", nn.Conv2d(3, 4, 3))
    net.add_module("norm", nn.BatchNorm2d(4))
    net.add_module("act", nn.ReLU())
    net.add_module("flat", nn.Flatten(2))
    net.add_module("swap", _Swap())
    net.add_module("body", _Attention())
    net.add_module("head", nn.Linear(4, 3))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=rng))
    return Classifier(net)


class _Swap(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


def test_stages_follow_the_forward_pass_and_norms_join_their_layer():
    stages = weight_stages(_network(), torch.rand(1, 3, 6, 6))
    assert stages == [
        ("network.stem", "network.norm"),
        ("network.body.attend",),
        ("network.body.attend.out_proj",),
        ("network.head",),
    ]


def test_random_weights_keep_moments_or_values_and_follow_the_seed():
    wide = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 20, 50)))
    trained = wide.network[1].weight.detach().clone() * 3 + 0.4
    for how in ("normal", "permute"):
        wide.network[1].weight.data.copy_(trained)
        randomise(wide, ("network.1",), how=how, seed=1)
        fresh = wide.network[1].weight.detach().clone()
        assert not torch.equal(fresh, trained)
        assert float(fresh.mean()) == pytest.approx(float(trained.mean()), abs=0.01)
        assert float(fresh.std()) == pytest.approx(float(trained.std()), rel=0.02)
        if how == "permute":
            assert torch.equal(fresh.flatten().sort().values, trained.flatten().sort().values)
        wide.network[1].weight.data.copy_(trained)
        randomise(wide, ("network.1",), how=how, seed=1)
        assert torch.equal(wide.network[1].weight, fresh)
    with pytest.raises(UnknownNameError, match="how"):
        randomise(wide, ("network.1",), how="zero")
    with pytest.raises(UnknownNameError, match=r"Did you mean 'network\.1'"):
        randomise(wide, ("network.11",))


def _gradient(classifier, images, target):
    leaf = images.clone().requires_grad_()
    chosen = classifier(leaf).gather(1, target[:, None]).sum()
    return torch.autograd.grad(chosen, leaf)[0].sum(1)


def _edges(classifier, images, target):
    return images.diff(dim=3, append=images[..., -1:]).abs().sum(1)


@pytest.mark.parametrize("mode", ["cascading", "independent", "full"])
def test_a_gradient_notices_and_an_edge_detector_does_not(mode):
    classifier, images = _network(), torch.rand(4, 3, 8, 8)
    before = copy.deepcopy(classifier.state_dict())
    seen = []

    def watched(network, batch, target):
        seen.append(target)
        return _gradient(network, batch, target)

    check = model_randomisation(classifier, images, watched, mode=mode, seed=2)
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())
    predicted = classifier.predict(images).argmax(1)
    assert all(torch.equal(target, predicted) for target in seen)
    stages = 1 if mode == "full" else 4
    assert len(seen) == stages + 1
    assert len(check.to_frame()) == 4 * stages
    last = check.scores[check.scores["stage"] == stages]
    assert last["spearman"].abs().max() < 0.9
    if mode != "full":
        assert check.scores.loc[0, "layer"] == "network.head"
    blind = model_randomisation(classifier, images, _edges, mode=mode, seed=2)
    assert np.allclose(blind.scores[["spearman", "spearman_abs", "ssim"]], 1)
    assert (blind.summary["mean"].round(9) == 1).all()


def test_independent_stages_restore_the_others_and_cascading_ones_stay():
    classifier, images = _network(), torch.rand(2, 3, 8, 8)
    trained = {n: p.detach().clone() for n, p in classifier.named_parameters()}
    changed = []

    def watch(network, batch, target):
        now = {n for n, p in network.named_parameters() if not torch.equal(p, trained[n])}
        changed.append(now)
        return batch.mean(1)

    model_randomisation(classifier, images, watch, mode="independent")
    heads = {"network.head.weight", "network.head.bias"}
    out = {"network.body.attend.out_proj.weight", "network.body.attend.out_proj.bias"}
    assert changed[0] == set()
    assert changed[1] == heads
    assert changed[2] == out
    changed.clear()
    model_randomisation(classifier, images, watch, mode="cascading")
    assert changed[2] == heads | out
    assert changed[4] == set(trained)


def test_what_cannot_be_checked_is_refused():
    images = torch.rand(1, 3, 4, 4)
    bare = Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    with pytest.raises(ModelStateError, match="weights to randomise"):
        model_randomisation(bare, images, _edges)
    with pytest.raises(UnknownNameError, match="mode"):
        model_randomisation(_network(), images, _edges, mode="cascade")
    with pytest.raises(ModelStateError, match="eval mode"):
        model_randomisation(_network().train(), images, _edges)
    with pytest.raises(InputError, match="maps must be a tensor"):
        model_randomisation(_network(), torch.rand(1, 3, 8, 8), lambda c, x, t: x)
