"""Bad input, networks that cannot be explained, and what must be as before afterwards."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sundog.core.errors import InputError, ModelStateError, UnknownNameError
from sundog.explain.deep_lift import deep_lift
from sundog.explain.deep_lift_shap import deep_lift_shap, draw_references
from sundog.explain.deeplift.rules import RULES, Entry
from sundog.explain.occlusion import occlusion
from sundog.explain.registry import get_method
from sundog.explain.rise import rise, rise_with_error
from sundog.models.classifier import Classifier


class Net(nn.Module):
    def __init__(self, step=None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.last = nn.Linear(4, 3)
        self.step = step

    def forward(self, x):
        z = F.relu(self.conv(x))
        if self.step is not None:
            z = self.step(z)
        return self.last(z.mean((2, 3)))


def make(step=None) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(Net(step))


def images(count: int = 2, size: int = 9) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


PIXEL = {
    "occlusion": lambda c, x, **k: occlusion(c, x, grid=3, **k),
    "rise": lambda c, x, **k: rise(c, x, n_samples=3, grid=3, **k),
    "deep_lift": deep_lift,
    "deep_lift_shap": deep_lift_shap,
}


@pytest.mark.parametrize("name", PIXEL)
def test_bad_images_and_targets_are_refused(name):
    method, classifier = PIXEL[name], make()
    for bad, words in (
        (images()[0], r"a tensor \[batch, 3"),
        (images()[:0], "at least one image"),
        (images().where(images() > 0.1, torch.nan), "finite"),
        (images() * 255, r"in \[0, 1\]"),
        ((images() * 255).to(torch.uint8), "floating point"),
    ):
        with pytest.raises(InputError, match=words):
            method(classifier, bad)
    with pytest.raises(InputError, match=r"a class in 0\.\.2"):
        method(classifier, images(), target=3)
    with pytest.raises(InputError, match="one class per image"):
        method(classifier, images(), target=torch.tensor([0, 1, 2]))
    with pytest.raises(InputError, match="output must be"):
        method(classifier, images(), output="odds")
    with pytest.raises(InputError, match="budget must be"):
        method(classifier, images(), budget=0)
    with pytest.raises(UnknownNameError, match="black"):
        method(classifier, images(), baseline="blakc")
    with pytest.raises(InputError, match="baseline must be"):
        method(classifier, images(), baseline=torch.zeros(3, 4, 4))
    with pytest.raises(ModelStateError, match="eval mode"):
        method(make().train(), images())


@pytest.mark.parametrize("name", PIXEL)
def test_maps_carry_no_graph_and_leave_everything_as_it_was(name):
    method, classifier, shown = PIXEL[name], make(), images()
    state = copy.deepcopy(classifier.state_dict())
    before, flags = shown.clone(), [p.requires_grad for p in classifier.parameters()]
    rng, fused = torch.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    maps = method(classifier, shown)
    assert not maps.requires_grad
    assert maps.shape == (2, 9, 9)
    assert maps.dtype == torch.float32
    assert bool(torch.isfinite(maps).all())
    with torch.inference_mode():
        assert torch.equal(method(classifier, shown), maps)
    assert torch.equal(shown, before)
    assert torch.is_grad_enabled()
    assert all(torch.equal(v, state[k]) for k, v in classifier.state_dict().items())
    assert [p.requires_grad for p in classifier.parameters()] == flags
    assert all(p.grad is None for p in classifier.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in classifier.modules())
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.backends.mha.get_fastpath_enabled() == fused


def test_grids_and_windows_that_do_not_fit():
    classifier = make()
    with pytest.raises(InputError, match="image is smaller than the grid"):
        occlusion(classifier, images(size=5), grid=6)
    with pytest.raises(InputError, match="image is smaller than the grid"):
        rise(classifier, images(size=5), n_samples=3)
    with pytest.raises(InputError, match="image is smaller than the window"):
        occlusion(classifier, images(), window=(10, 3))
    with pytest.raises(InputError, match="never occluded"):
        occlusion(classifier, images(), window=2, stride=3)
    with pytest.raises(InputError, match="together with window"):
        occlusion(classifier, images(), stride=3)
    for bad in (0, -1, 2.5, True, (2, 2, 2)):
        with pytest.raises(InputError, match="grid must be one integer"):
            occlusion(classifier, images(), grid=bad)


def test_parameters_of_rise():
    classifier = make()
    for bad in (0, 2.5):
        with pytest.raises(InputError, match="n_samples must be"):
            rise(classifier, images(), n_samples=bad)
    for bad in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="keep must be"):
            rise(classifier, images(), keep=bad)
    single = rise_with_error(classifier, images(), n_samples=1, grid=2)
    assert bool(single.standard_error.isnan().all())


def test_an_image_of_one_pixel():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    classifier, pixel = Classifier(network), images(size=1)
    assert occlusion(classifier, pixel, grid=1).shape == (2, 1, 1)
    assert rise(classifier, pixel, n_samples=4, grid=1).shape == (2, 1, 1)
    assert deep_lift(classifier, pixel).shape == (2, 1, 1)
    with pytest.raises(InputError, match="image is smaller than the grid"):
        occlusion(classifier, pixel)


def test_an_operation_without_a_rule_is_named():
    for step, name in (
        (lambda z: torch.fft.fft(z).real, "view_as_real"),
        (lambda z: z.sort(1).values, "sort"),
        (lambda z: torch.atan2(z, z + 1), "atan2"),
        (lambda z: z + z.argmax(1, keepdim=True), "argmax"),
        (lambda z: z.gather(1, z.argsort(1)), "sort|gather"),
    ):
        with pytest.raises(ModelStateError, match=f"no rule for the operation '.*({name})"):
            deep_lift(make(step), images())


def test_an_operation_whose_result_is_not_used_does_no_harm():
    def step(z):
        z.sort(1)
        if bool(torch.isnan(z).any()):
            raise ValueError("NaN")
        return z

    assert torch.equal(deep_lift(make(step), images()), deep_lift(make(), images()))


def test_a_network_that_branches_on_the_image_is_refused():
    def step(z):
        return z.tanh() if z.mean() > 0 else z * 2

    classifier = make(step)
    with torch.no_grad():
        classifier.network.conv.bias.zero_()
    with pytest.raises(ModelStateError, match="same steps for every image"):
        deep_lift(classifier, images())


def test_statistics_of_the_batch_are_refused():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    with pytest.raises(ModelStateError, match="statistics of the batch"):
        deep_lift(Classifier(network), images())


def test_numbers_that_leave_pytorch_are_noticed():
    def hidden(z):
        return z + torch.from_numpy(np.tanh(z.detach().double().numpy())).float()

    with pytest.raises(ModelStateError, match="stays within PyTorch"):
        deep_lift(make(hidden), images())


def test_attributions_that_do_not_add_up_are_refused(monkeypatch):
    # A wrong rule: relu taken for the identity.
    wrong = Entry(lambda call: [(call.refs[0], call.grad)], lambda _step: "")
    monkeypatch.setitem(RULES, "aten.relu", wrong)
    with pytest.raises(ModelStateError, match="complete"):
        deep_lift(make(), images())


def test_the_state_is_restored_after_an_error():
    def broken(z):
        raise ValueError("broken layer")

    fused = torch.backends.mha.get_fastpath_enabled()
    for method in PIXEL.values():
        with pytest.raises(ValueError, match="broken layer"):
            method(make(broken), images())
    assert torch.backends.mha.get_fastpath_enabled() == fused
    assert torch.is_grad_enabled()
    query = torch.rand(1, 2, 4, 8)
    inside = []

    class Seen(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            inside.append(str(func))
            return func(*args, **(kwargs or {}))

    with Seen():
        F.scaled_dot_product_attention(query, query, query)
    # Fused attention is chosen again, not its mathematical form.
    assert not any("softmax" in name for name in inside)


def test_networks_without_gradient_are_refused():
    classifier = Classifier(Net(), differentiable=False)
    for method in (deep_lift, deep_lift_shap):
        with pytest.raises(ModelStateError, match="needs gradients"):
            method(classifier, images())
    assert occlusion(classifier, images(), grid=2).shape == (2, 9, 9)


def test_references_that_cannot_be_drawn():
    for background, count in ((images(4), 5), (images(4), 0), (images()[0], 1), ([1], 1)):
        with pytest.raises(InputError):
            draw_references(background, count)
    with pytest.raises(InputError, match="non-empty list"):
        deep_lift_shap(make(), images(), baseline=[])


def test_rows_of_the_table():
    for name in ("occlusion", "rise", "deep_lift", "deep_lift_shap", "attention_rollout"):
        row = get_method(name)
        assert row.name == row.function.__name__ == name
    assert "class-agnostic" in get_method("attention_rollout").convention
