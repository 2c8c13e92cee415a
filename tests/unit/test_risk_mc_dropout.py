"""Only dropout is random, one thinned network per pass, and nothing stays changed."""

import copy
import math

import pytest
import torch
from torch import nn

from sundog.core.errors import InputError, LayerError, ModelStateError
from sundog.core.seeds import generator
from sundog.models.classifier import Classifier
from sundog.models.zoo import get_model
from sundog.risk.dropout_masks import (
    SELU_FLOOR,
    DropoutCall,
    affine_noise,
    dropout_calls,
    is_at_head,
    thinned,
)
from sundog.risk.estimator import Passed
from sundog.risk.information import split_information
from sundog.risk.mc_dropout import MCDropout
from sundog.risk.one_pass import pass_once


def images(count: int = 6) -> torch.Tensor:
    return torch.rand((count, 3, 12, 12), generator=generator(0, "images"))


def classifier_of(*middle: nn.Module, width: int = 8, last: nn.Module | None = None) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = nn.Sequential(
            nn.Conv2d(3, width, 3),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            *middle,
            nn.Flatten(),
            *([last] if last is not None else []),
            nn.Linear(width * 100, 4),
        )
    return get_model(network, input_size=(12, 12))


def at_head(rate: float = 0.4) -> Classifier:
    return classifier_of(last=nn.Dropout(rate))


def inside(rate: float = 0.4) -> Classifier:
    return classifier_of(nn.Dropout2d(rate), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())


def state_of(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in classifier.state_dict().items()}


def hooks_of(classifier: Classifier) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in classifier.modules())


@pytest.mark.parametrize("make", [at_head, inside])
def test_nothing_stays_changed_and_the_seed_decides(make):
    classifier, shown = make(), images()
    before, logits = state_of(classifier), classifier(shown)
    passed = pass_once(classifier, shown)
    first = MCDropout().score(passed)
    torch.manual_seed(11)
    noise = torch.random.get_rng_state()
    second = MCDropout().score(passed)
    assert torch.equal(noise, torch.random.get_rng_state())
    for name, values in state_of(classifier).items():
        assert torch.equal(values, before[name]), name  # batch norm counts and means too
    assert not any(module.training for module in classifier.modules())
    assert hooks_of(classifier) == 0
    assert torch.equal(classifier(shown), logits)
    assert torch.equal(first["epistemic"], second["epistemic"])
    assert not torch.equal(first["epistemic"], MCDropout(seed=1).score(passed)["epistemic"])
    assert float(first["epistemic"].min()) > 0


@pytest.mark.parametrize("make", [at_head, inside])
def test_an_image_scores_the_same_alone_and_in_any_batch(make):
    classifier, shown = make(), images()
    whole = MCDropout().score(pass_once(classifier, shown))
    for order in ([2], [5, 2], [4, 3, 2, 1]):
        part = MCDropout().score(pass_once(classifier, shown[order]))
        for name, values in part.items():
            assert float(values[order.index(2)]) == pytest.approx(float(whole[name][2]), rel=1e-5)


def test_equals_networks_thinned_by_hand():
    classifier, shown = inside(), images(3)
    found = MCDropout(passes=4, seed=9).split(pass_once(classifier, shown))
    conv, norm, relu, _, second, relu2, flat, head = classifier.network
    samples = []
    for index in range(4):
        draw = generator(9, "mc_dropout", index, "network.3", 0)
        mask = (torch.rand((1, 8, 1, 1), generator=draw) >= 0.4).float() / 0.6
        with torch.no_grad():
            made = relu(norm(conv(classifier.normalise(shown)))) * mask
            samples.append(head(flat(relu2(second(made)))).softmax(dim=1))
    slow = split_information(torch.stack(samples))
    assert torch.allclose(found.probabilities, slow.probabilities, atol=1e-6)
    assert torch.allclose(found.epistemic, slow.epistemic, atol=1e-6)


def test_short_cut_through_the_features_equals_full_passes(monkeypatch):
    classifier, shown = at_head(), images()
    passed = pass_once(classifier, shown)
    calls = 0
    original = Classifier.forward

    def counted(self, x):
        nonlocal calls
        calls += len(x)
        return original(self, x)

    monkeypatch.setattr(Classifier, "forward", counted)
    method = MCDropout(passes=6)
    short = method.split(passed)
    assert calls < 6 * len(shown)
    calls = 0
    again = method.split(passed)
    assert calls == 0  # the plan is kept: not one more pass
    assert torch.equal(short.epistemic, again.epistemic)
    monkeypatch.setattr("sundog.risk.mc_dropout.is_at_head", lambda *a, **k: False)
    full = MCDropout(passes=6).split(passed)
    assert calls > 6 * len(shown)
    assert torch.allclose(short.probabilities, full.probabilities, atol=1e-6)
    assert torch.allclose(short.epistemic, full.epistemic, atol=1e-6)


def test_the_kept_plan_follows_new_weights_and_rates():
    classifier, shown = at_head(), images()
    method = MCDropout(passes=5)
    method.score(pass_once(classifier, shown))
    with torch.no_grad():
        classifier.network[-1].weight.mul_(3)
    changed = method.score(pass_once(classifier, shown))
    fresh = MCDropout(passes=5).score(pass_once(classifier, shown))
    assert torch.equal(changed["epistemic"], fresh["epistemic"])
    classifier.network[-2].p = 0.8
    assert torch.equal(
        method.score(pass_once(classifier, shown))["epistemic"],
        MCDropout(passes=5).score(pass_once(classifier, shown))["epistemic"],
    )
    other = copy.deepcopy(method)
    assert torch.equal(
        other.score(pass_once(classifier, shown))["epistemic"],
        method.score(pass_once(classifier, shown))["epistemic"],
    )


def test_rate_inserts_dropout_before_the_head_and_leaves_other_layers_off():
    plain, shown = classifier_of(), images()
    with_layer = inside()
    for classifier in (plain, with_layer):
        passed = pass_once(classifier, shown)
        found = MCDropout(rate=0.3, passes=3, seed=2).split(passed)
        head, samples = classifier.network[-1], []
        for index in range(3):
            draw = generator(2, "mc_dropout", index, "head input", 0)
            mask = (torch.rand((1, 800), generator=draw) >= 0.3).float() / 0.7
            samples.append(head(passed.features * mask).softmax(dim=1))
        slow = split_information(torch.stack(samples).detach())
        assert torch.allclose(found.epistemic, slow.epistemic, atol=1e-6)


def pooled() -> Classifier:
    """Whole channels are dropped before a mean over places: the same as dropping features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.Dropout2d(0.5),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        )
    return get_model(network, input_size=(12, 12))


@pytest.mark.parametrize(
    ("classifier", "expected"),
    [
        (at_head(0.01), True),
        (classifier_of(nn.Dropout(0.5)), True),  # the map is flattened right after it
        (pooled(), True),
        (classifier_of(nn.Dropout(0.5), nn.AvgPool2d(3, 1, 1)), False),
        (inside(), False),
    ],
)
def test_where_dropout_acts_is_found_by_running(classifier, expected, monkeypatch):
    shown = images()
    (call,) = dropout_calls(classifier, shown[:1])
    assert call.axis == 0
    assert is_at_head(classifier, call, shown[:1]) is expected
    found = MCDropout(passes=5).split(pass_once(classifier, shown))
    monkeypatch.setattr("sundog.risk.mc_dropout.is_at_head", lambda *a, **k: False)
    full = MCDropout(passes=5).split(pass_once(classifier, shown))
    assert torch.allclose(found.epistemic, full.epistemic, atol=1e-6)


class Sharpened(nn.Module):
    """Something follows the last linear layer, so the logits cannot be made from the features."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.head = nn.Dropout(0.5), nn.Linear(432, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(x.flatten(1))) ** 3


def test_a_head_that_is_not_linear_is_asked_by_full_passes():
    classifier = get_model(Sharpened(), input_size=(12, 12))
    found = MCDropout(passes=3, seed=1).split(pass_once(classifier, images()))
    samples = []
    for index in range(3):
        draw = generator(1, "mc_dropout", index, "network.dropout", 0)
        mask = (torch.rand((1, 432), generator=draw) >= 0.5).float() / 0.5
        logits = classifier.network.head(images().flatten(1) * mask) ** 3
        samples.append(logits.softmax(dim=1))
    slow = split_information(torch.stack(samples).detach())
    assert torch.allclose(found.epistemic, slow.epistemic, atol=1e-6)


def test_affine_noise_keeps_mean_and_variance():
    draw = generator(0, "noise")
    x = torch.randn((1, 400_000), generator=draw, dtype=torch.float64)
    for module in (nn.Dropout(0.3), nn.AlphaDropout(0.3)):
        call = DropoutCall("layer", 0, module, rate=0.3, axis=0)
        scale, shift = affine_noise(call, x.shape, draw=draw)
        made = scale.double() * x + shift.double()
        assert float(made.mean()) == pytest.approx(0, abs=0.01)
        if isinstance(module, nn.AlphaDropout):
            assert float(made.var()) == pytest.approx(1, abs=0.02)
            a = 1 / math.sqrt(0.7 * (1 + 0.3 * SELU_FLOOR**2))
            dropped = a * SELU_FLOOR * 0.7
            share = torch.isclose(made, torch.tensor(dropped, dtype=torch.float64)).double()
            assert float(share.mean()) == pytest.approx(0.3, abs=0.01)
        else:
            assert float((made == 0).double().mean()) == pytest.approx(0.3, abs=0.01)


def test_alpha_dropout_has_the_values_of_torch():
    module = nn.AlphaDropout(0.25).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        values = set(module(torch.ones(1000)).round(decimals=5).tolist())
    call = DropoutCall("layer", 0, module, rate=0.25, axis=0)
    scale, shift = affine_noise(call, (1, 1000), draw=generator(0))
    assert set((scale + shift).flatten().round(decimals=5).tolist()) == values


@pytest.mark.parametrize("module", [nn.Dropout(1.0), nn.FeatureAlphaDropout(1.0)])
def test_everything_dropped_is_zero(module):
    call = DropoutCall("layer", 0, module, rate=1.0, axis=0)
    scale, shift = affine_noise(call, (1, 5, 2), draw=generator(0))
    assert float(scale.abs().sum() + shift.abs().sum()) == 0


class Tokens(nn.Module):
    """A transformer whose tokens come first and images second."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.embed = nn.Linear(48, 16)
        layer = nn.TransformerEncoderLayer(
            16, 2, dim_feedforward=16, dropout=0.3, batch_first=batch_first
        )
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3)
        tokens = self.embed(patches.flatten(1, 2))
        if not self.batch_first:
            tokens = tokens.transpose(0, 1)
        out = self.encoder(tokens)
        return self.head(out.mean(dim=1 if self.batch_first else 0))


@pytest.mark.parametrize("batch_first", [True, False])
def test_the_axis_of_the_images_is_found_in_transformers(batch_first):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classifier = get_model(Tokens(batch_first=batch_first), input_size=(12, 12))
    shown = images(9)  # as many as there are tokens
    calls = dropout_calls(classifier, shown[:1])
    assert {call.axis for call in calls} == {0 if batch_first else 1}
    whole = MCDropout(passes=4).score(pass_once(classifier, shown))["epistemic"]
    alone = MCDropout(passes=4).score(pass_once(classifier, shown[4:5]))["epistemic"]
    assert float(alone[0]) == pytest.approx(float(whole[4]), rel=1e-4)
    assert float(whole.min()) > 0


class MixesImages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(432, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)
        self.dropout(flat @ flat.T)
        return self.head(flat)


class OneByOne(MixesImages):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cat([self.dropout(image[None].flatten(1)) for image in x]))


@pytest.mark.parametrize(("network", "says"), [(MixesImages, "one axis"), (OneByOne, "as often")])
def test_dropout_that_cannot_be_shared_is_refused(network, says):
    classifier = get_model(network(), input_size=(12, 12))
    with pytest.raises(InputError, match=says):
        MCDropout().score(pass_once(classifier, images()))
    assert hooks_of(classifier) == 0


def test_no_dropout_says_what_to_try():
    for classifier in (classifier_of(), classifier_of(nn.Dropout(0.0))):
        with pytest.raises(InputError, match=r"rate=0\.2"):
            MCDropout().score(pass_once(classifier, images()))


def test_arrays_alone_are_refused():
    with pytest.raises(InputError, match="images"):
        MCDropout().score(Passed(torch.zeros(2, 3), torch.zeros(2, 4)))
    with pytest.raises(InputError, match="classifier"):
        MCDropout().score(Passed(torch.zeros(2, 3), torch.zeros(2, 4), images=images(2)))


def test_train_mode_is_refused():
    classifier = at_head()
    passed = pass_once(classifier, images())
    classifier.train()
    with pytest.raises(ModelStateError, match="eval"):
        MCDropout().score(passed)


def test_modes_and_hooks_are_restored_after_an_error(monkeypatch):
    classifier = inside()
    passed = pass_once(classifier, images())
    before = state_of(classifier)
    calls = 0
    original = nn.Linear.forward

    def fail(self, x):
        nonlocal calls
        calls += 1
        if calls > 4:
            raise RuntimeError("out of memory")
        return original(self, x)

    monkeypatch.setattr(nn.Linear, "forward", fail)
    with pytest.raises(RuntimeError, match="memory"):
        MCDropout().score(passed)
    assert hooks_of(classifier) == 0
    assert not any(module.training for module in classifier.modules())
    for name, values in state_of(classifier).items():
        assert torch.equal(values, before[name])


def test_a_layer_that_runs_more_often_than_before_is_refused():
    classifier = inside()
    calls = dropout_calls(classifier, images(1))
    layer = calls[0].module
    with thinned(classifier, calls, draw=lambda name, run: generator(0, name, run)):
        layer(torch.ones(2, 8, 3, 3))
        with pytest.raises(LayerError, match="as often"):
            layer(torch.ones(2, 8, 3, 3))


@pytest.mark.parametrize("options", [{"passes": 1}, {"rate": 0.0}, {"rate": 1.0}])
def test_bad_options(options):
    with pytest.raises(InputError):
        MCDropout(**options)
    assert MCDropout(**MCDropout(rate=0.5, seed=4).settings()).settings()["seed"] == 4
