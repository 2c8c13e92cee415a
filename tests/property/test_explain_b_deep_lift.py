"""What DeepLIFT must satisfy on any network: completeness, the same map for the same function."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sundog.explain.deep_lift import deep_lift, deep_lift_contributions
from sundog.explain.deeplift.walk import make_tape, multipliers
from sundog.models.classifier import Classifier

D = torch.float64


def rand(*shape: int, seed: int = 0, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(*shape, generator=source, dtype=D)


def seeded(make, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().double().eval()


def gap_of(function, x: torch.Tensor, base: torch.Tensor) -> float:
    """Largest |f(x) - f(x') - sum of attributions| relative to the size of what is added."""
    image, reference = make_tape(function, x), make_tape(function, base)
    weight = rand(*image.result.shape, seed=99, low=-1)
    attribution = multipliers(image, reference, weight) * (x - base)
    change = ((image.result - reference.result) * weight).sum()
    return float((change - attribution.sum()).abs() / (attribution.abs().sum() + 1e-9))


POSITIVE = {
    "log": torch.log,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "pow1.7": lambda z: z**1.7,
    "pow-0.5": lambda z: z**-0.5,
    "log1p": torch.log1p,
}
ELEMENTWISE = {
    "relu": F.relu,
    "relu_": lambda z: (z * 1.0).relu_(),
    "relu6": F.relu6,
    "hardtanh": lambda z: F.hardtanh(z, -0.3, 0.8),
    "clamp": lambda z: z.clamp(-0.5, 0.7),
    "clamp_min": lambda z: z.clamp(min=0.1),
    "clamp_max": lambda z: z.clamp_max(0.2),
    "leaky_relu": lambda z: F.leaky_relu(z, 0.2),
    "prelu": lambda z: F.prelu(z, torch.tensor([0.1, 0.4, -0.2], dtype=D)),
    "elu": lambda z: F.elu(z, 0.7),
    "selu": F.selu,
    "celu": lambda z: F.celu(z, 1.3),
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "swish": lambda z: z * torch.sigmoid(z),
    "swish_inplace": lambda z: z.clone().mul_(z.sigmoid()),
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "logsigmoid": F.logsigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "mish": F.mish,
    "tanhshrink": F.tanhshrink,
    "softshrink": F.softshrink,
    "hardshrink": F.hardshrink,
    "threshold": lambda z: F.threshold(z, 0.1, -0.4),
    "abs": torch.abs,
    "sign": lambda z: z * z.sign(),
    "round": lambda z: z + torch.round(z * 4) / 4,
    "square": torch.square,
    "cube": lambda z: z**3,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "erf": torch.erf,
    "sin": torch.sin,
    "glu": lambda z: F.glu(torch.cat([z, z * z], 1), 1),
    "where": lambda z: torch.where(z > 0, z, 0.1 * z),
    "where_other": lambda z: torch.where(z > z.mean(1, keepdim=True), z * z, -z),
    "mask": lambda z: z * (z > 0.2),
    "maximum": lambda z: torch.maximum(z, z.flip(1) * 0.5),
    "minimum": lambda z: torch.minimum(z, z.flip(1) * 0.5),
    "divide": lambda z: z / (1 + z.square().flip(1)),
    "constant_over": lambda z: 2.0 / (2 + z.square()),
    "self_product": lambda z: z * z.roll(1, 1) * z.roll(2, 1),
}
SHAPED = {
    "softmax": lambda z: z.softmax(1),
    "softmax_of_large": lambda z: (400 * z).softmax(1),
    "log_softmax": lambda z: z.log_softmax(-1),
    "logsumexp": lambda z: z.logsumexp((1, 2)),
    "layer_norm": lambda z: F.layer_norm(z, z.shape[2:], eps=1e-3),
    "group_norm": lambda z: F.group_norm(torch.cat([z, z * z], 1), 3),
    "instance_norm": F.instance_norm,
    "rms_norm": lambda z: F.rms_norm(z, z.shape[-1:], eps=1e-3),
    "normalize": lambda z: F.normalize(z, dim=1),
    "local_response": lambda z: F.local_response_norm(z, 3),
    "standardise": lambda z: (
        (z - z.mean((2, 3), True)) / (z.var((2, 3), keepdim=True) + 0.01).sqrt()
    ),
    "max_pool": lambda z: F.max_pool2d(z, 3, 2, 1),
    "max_pool_dilated": lambda z: F.max_pool2d(z, 2, 1, 0, dilation=2),
    "max_pool_ceil": lambda z: F.max_pool2d(z, 3, 2, ceil_mode=True),
    "adaptive_max": lambda z: F.adaptive_max_pool2d(z, 2),
    "amax": lambda z: z.amax((2, 3)),
    "max_dim": lambda z: z.max(dim=1).values,
    "avg_pool": lambda z: F.avg_pool2d(z, 3, 2, 1),
    "adaptive_avg": lambda z: F.adaptive_avg_pool2d(z, 3),
    "lp_pool": lambda z: F.lp_pool2d(z, 2.0, 2),
    "gate": lambda z: z * torch.sigmoid(z.mean((2, 3), keepdim=True)),
    "attention": lambda z: F.scaled_dot_product_attention(z, z.sin(), z * z),
    "causal": lambda z: F.scaled_dot_product_attention(z, z, z, is_causal=True),
    "einsum": lambda z: torch.einsum("bchw,bcvw->bhv", z, z.tanh()),
    "self_convolution": lambda z: F.conv2d(z, z[:1].mean(0, keepdim=True).tanh()[..., :3, :3]),
    "interpolate": lambda z: F.interpolate(z, scale_factor=2, mode="bilinear"),
    "bicubic": lambda z: F.interpolate(z, size=(9, 4), mode="bicubic", antialias=True),
    "shuffle": lambda z: F.pixel_unshuffle(z, 2),
    "pad": lambda z: F.pad(z, (1, 2, 0, 1), mode="reflect"),
    "unfold": lambda z: F.unfold(z, 3).cumsum(2),
    "write_into": lambda z: z.new_zeros(z.shape).index_put_((torch.tensor([0]),), z[:1] ** 2),
    "write_slice": lambda z: torch.cat([z, z], 1).clone().narrow(1, 1, 3).mul_(z).sub_(0.1),
}


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
@pytest.mark.parametrize("spread", [3.0, 1e-4])
def test_every_elementwise_function_is_complete(name, spread):
    x = rand(2, 3, 6, 6, seed=1, low=-4, high=4)
    base = x + spread * rand(2, 3, 6, 6, seed=2, low=-1)
    base[0, 0] = x[0, 0]
    # PyTorch's hardsigmoid rounds 1/6 to float32 forwards, and not backwards.
    tolerance = 1e-8 if name == "hardsigmoid" else 1e-10
    assert gap_of(ELEMENTWISE[name], x, base) < (1e-12 if spread == 3.0 else tolerance)


@pytest.mark.parametrize("name", sorted(POSITIVE))
def test_every_function_of_positive_numbers_is_complete(name):
    x, base = rand(2, 30, seed=1, low=1e-6, high=4), rand(2, 30, seed=2, low=1e-6, high=4)
    base[0, :5] = x[0, :5]
    base[0, 5:9] = x[0, 5:9] * (1 + 1e-7)
    assert gap_of(POSITIVE[name], x, base) < 1e-9


@pytest.mark.parametrize("name", sorted(SHAPED))
def test_every_operation_on_shapes_is_complete(name):
    x, base = rand(1, 3, 6, 6, seed=1, low=-1, high=2), rand(1, 3, 6, 6, seed=2, low=-2)
    base[0, 0] = x[0, 0]
    assert gap_of(SHAPED[name], x, base) < 1e-11


def test_softmax_with_hidden_places_is_complete():
    hidden = torch.zeros(4, 4, dtype=torch.bool)
    hidden[1, 2:] = hidden[3, 0] = True
    x, base = rand(1, 4, 4, seed=1), rand(1, 4, 4, seed=2)
    assert gap_of(lambda z: z.masked_fill(hidden, -torch.inf).softmax(-1), x, base) < 1e-12


class Written(nn.Module):
    """One function, written in the ways that break hooks on modules."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self.style = style
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Linear(6, 4)
        self.shared = nn.ReLU(inplace=style == "reused in place")

    def act(self, z):
        if self.style in ("reused", "reused in place"):
            return self.shared(z)
        if self.style == "functional in place":
            return F.relu(z, inplace=True)
        if self.style == "method":
            return z.relu_()
        if self.style == "made in forward":
            return nn.ReLU()(z)
        if self.style == "clamp":
            return z.clamp(min=0)
        return F.relu(z)

    def forward(self, x):
        z = self.act(self.first(x))
        z = F.max_pool2d(z, 3, 2, 1)
        z = self.act(self.second(z) + z)
        return self.last(z.mean((2, 3)))


STYLES = [
    "functional",
    "reused",
    "reused in place",
    "functional in place",
    "method",
    "made in forward",
    "clamp",
]


@pytest.mark.parametrize("style", STYLES)
def test_the_way_a_network_is_written_does_not_matter(style):
    images, base = rand(2, 3, 12, 12, seed=1), rand(2, 3, 12, 12, seed=2)
    plain, other = (seeded(lambda s=s: Written(s)) for s in ("functional", style))
    expected = deep_lift(Classifier(plain).double(), images, 1, baseline=base, reduction="none")
    found = deep_lift(Classifier(other).double(), images, 1, baseline=base, reduction="none")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torchscript_and_exported_networks_are_as_visible():
    images = rand(2, 3, 12, 12, seed=1)
    network = seeded(lambda: Written("functional"))
    expected = deep_lift(Classifier(network).double(), images, 1)
    traced = torch.jit.trace(network, images)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(network, (images,), dynamic_shapes=({0: batch},))
    exported = torch.export.unflatten(program).eval()
    for other in (traced, exported):
        classifier = Classifier(nn.Sequential())
        classifier.network = other
        torch.testing.assert_close(
            deep_lift(classifier.double(), images, 1), expected, rtol=0, atol=1e-13
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_folding_batch_norm_changes_nothing(dtype):
    def make():
        layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        layers += [nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 3))
        for norm in (network[1], network[5]):
            norm.running_mean.uniform_(-0.3, 0.3)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.uniform_(-0.3, 0.3)
        return network

    network = seeded(make)
    folded = copy.deepcopy(network)
    for conv, norm in ((0, 1), (4, 5)):
        folded[conv] = nn.utils.fuse_conv_bn_eval(folded[conv], folded[norm])
        folded[norm] = nn.Identity()
    images = rand(2, 3, 20, 20, seed=1).to(dtype)
    one, two = (deep_lift(Classifier(n).to(dtype), images, 0) for n in (network, folded))
    tolerance = 1e-12 if dtype == D else 1e-4
    assert float((one - two).norm() / one.norm()) < tolerance


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    names=st.lists(st.sampled_from(sorted(ELEMENTWISE)), min_size=1, max_size=3),
    pool=st.sampled_from(["max_pool", "max_pool_ceil", "avg_pool", "gate", "layer_norm"]),
    output=st.sampled_from(["logit", "probability", "log_probability"]),
    baseline=st.sampled_from(["black", "white", "blur", 0.3]),
)
def test_random_networks_are_complete_and_independent_of_the_batch(
    seed, names, pool, output, baseline
):
    class Drawn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in names)
            self.last = nn.Linear(3, 3)

        def forward(self, x):
            for name, mix in zip(names, self.mix, strict=True):
                x = ELEMENTWISE[name](mix(x)).tanh()
            return self.last(SHAPED[pool](x).mean((2, 3)))

    classifier = Classifier(seeded(Drawn, seed), mean=(0.5,) * 3, std=(0.5,) * 3).double()
    images = rand(3, 3, 8, 8, seed=seed)
    found = deep_lift_contributions(classifier, images, output=output, baseline=baseline)
    # 1e-3: the scalar itself is rounded at 1e-16, also where the image changes it by nothing
    scale = found.attribution.abs().sum((1, 2, 3)) + 1e-3
    assert float((found.gap.abs() / scale).max()) < 1e-9
    target = classifier.predict(images).argmax(1)
    alone = torch.cat(
        [
            deep_lift(
                classifier,
                images[n : n + 1],
                target[n : n + 1],
                output=output,
                baseline=baseline,
                reduction="none",
                budget=1,
            )
            for n in range(3)
        ]
    )
    assert float((alone - found.attribution).abs().max() / scale.max()) < 1e-9


def test_linear_in_the_scalar():
    classifier = Classifier(seeded(lambda: Written("reused"))).double()
    images = rand(2, 3, 12, 12, seed=1)
    both = deep_lift(classifier, images, lambda logits: 2 * logits[:, 0] - 3 * logits[:, 1])
    parts = [deep_lift(classifier, images, c) for c in (0, 1)]
    torch.testing.assert_close(both, 2 * parts[0] - 3 * parts[1], rtol=0, atol=1e-13)


def test_an_image_that_is_the_baseline_gets_zeros():
    classifier = Classifier(seeded(lambda: Written("reused"))).double()
    found = deep_lift(classifier, torch.zeros(2, 3, 12, 12, dtype=D))
    assert torch.equal(found, torch.zeros(2, 12, 12, dtype=D))


def test_mixed_precision_does_not_reach_the_differences():
    classifier = Classifier(seeded(lambda: Written("reused")).float())
    images = rand(2, 3, 12, 12, seed=1).float()
    expected = deep_lift(classifier, images, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = deep_lift(classifier, images, 1)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("output", ["logit", "probability", "log_probability"])
@pytest.mark.parametrize("kind", ["binary_logit", "probabilities", "grey", "subset"])
def test_every_kind_of_classifier_is_complete(kind, output):
    def make():
        columns = 1 if kind == "binary_logit" else 4
        layers = [nn.Conv2d(1 if kind == "grey" else 3, 5, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1)]
        layers += [nn.Flatten(), nn.Linear(5, columns)]
        return nn.Sequential(*layers, *([nn.Softmax(1)] if kind == "probabilities" else []))

    classifier = Classifier(
        seeded(make),
        output=kind if kind in ("binary_logit", "probabilities") else "logits",
        channels=1 if kind == "grey" else 3,
        class_indices=[3, 1] if kind == "subset" else None,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    ).double()
    found = deep_lift_contributions(classifier, rand(2, 3, 8, 8, seed=1), 1, output=output)
    assert float((found.gap / found.difference).abs().max()) < 1e-10
