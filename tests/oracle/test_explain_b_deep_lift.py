"""DeepLIFT against closed forms, captum where captum is right, and slow layer-by-layer copies."""

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sundog.explain.deep_lift import deep_lift, deep_lift_contributions
from sundog.explain.deep_lift_shap import deep_lift_shap, draw_references
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


def attribution_of(function, x: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """DeepLIFT of a plain function ``[rows, n] -> [rows]``, without a classifier around it."""
    image, reference = make_tape(function, x), make_tape(function, base)
    return multipliers(image, reference, torch.ones_like(image.result)) * (x - base)


# --- closed forms ---------------------------------------------------------------------------------


def test_linear_model_gives_weight_times_difference():
    network = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 3)))
    classifier = Classifier(network, mean=(0.5, 0.25, 0.75), std=(0.5, 0.25, 0.125)).double()
    images = rand(2, 3, 4, 5)
    found = deep_lift(classifier, images, 2, baseline=0.25, reduction="none")
    std = torch.tensor([0.5, 0.25, 0.125], dtype=D)[:, None, None]
    weight = network[1].weight[2].detach().reshape(3, 4, 5) / std
    torch.testing.assert_close(found, weight * (images - 0.25), rtol=0, atol=1e-13)


def test_saturation_example_of_the_papers():
    """f = 1 - relu(1 - x) at x = 2 from 0: the gradient is 0, the contribution 1."""
    x, base = torch.full((1, 1), 2.0, dtype=D), torch.zeros(1, 1, dtype=D)
    found = attribution_of(lambda z: (1 - F.relu(1 - z)).sum(1), x, base)
    assert found.item() == 1.0


def test_maximum_goes_to_the_place_of_the_larger_maximum():
    x = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=D)
    base = torch.tensor([[0.0, 2.0], [5.0, 4.0]], dtype=D)
    found = attribution_of(lambda z: z.amax(1), x, base)
    # Row 0: 3 - 2 = 1 to the place of 3. Row 1: 2 - 5 = -3 to the place of 5.
    assert found.tolist() == [[1.0, 0.0], [-3.0, 0.0]]


def test_symmetric_inputs_of_a_product_share_equally():
    x, base = torch.tensor([[3.0, 3.0]], dtype=D), torch.tensor([[1.0, 1.0]], dtype=D)
    found = attribution_of(lambda z: z[:, 0] * z[:, 1], x, base)
    assert found.tolist() == [[4.0, 4.0]]


def test_square_equals_the_integrated_gradient():
    x, base = rand(3, 4, seed=1), rand(3, 4, seed=2)
    weight = rand(4, seed=3)
    found = attribution_of(lambda z: (weight * z * z).sum(1), x, base)
    torch.testing.assert_close(found, weight * (x**2 - base**2), rtol=0, atol=1e-14)


def test_where_nothing_differs_the_plain_derivative_is_used():
    x = torch.tensor([[0.5, 0.25]], dtype=D)
    image, base = (make_tape(lambda z: torch.sigmoid(z).sum(1), x) for _ in range(2))
    found = multipliers(image, base, torch.ones(1, dtype=D))
    expected = torch.sigmoid(x) * (1 - torch.sigmoid(x))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


# --- captum, on networks that captum gets right ---------------------------------------------------


class PlainNet(nn.Module):
    def __init__(self, activation) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            activation(),
            nn.Conv2d(8, 8, 3, padding=1, groups=2),
            activation(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * 16, 12),
            activation(),
            nn.Linear(12, 4),
        )
        self.layers[1].running_mean.uniform_(-0.2, 0.2)
        self.layers[1].running_var.uniform_(0.5, 2)

    def forward(self, x):
        return self.layers(x)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "activation", [nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Sigmoid, nn.Tanh, nn.Softplus]
)
def test_equals_captum_on_a_plain_network(activation):
    network = seeded(lambda: PlainNet(activation))
    classifier = Classifier(network, mean=(0.5,) * 3, std=(0.25,) * 3).double()
    images, base = rand(3, 3, 16, 16, seed=1), rand(3, 3, 16, 16, seed=2)
    target = classifier.predict(images).argmax(1)
    expected = captum.attr.DeepLift(classifier, eps=1e-12).attribute(images, base, target=target)
    found = deep_lift(classifier, images, baseline=base, reduction="none")
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-8 * scale)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_shap_equals_captum_on_a_plain_network():
    network = seeded(lambda: PlainNet(nn.ReLU))
    classifier = Classifier(network).double()
    images, references = rand(3, 3, 16, 16, seed=1), rand(5, 3, 16, 16, seed=2)
    expected = captum.attr.DeepLiftShap(classifier).attribute(images, references, target=1)
    found = deep_lift_shap(
        classifier, images, 1, baseline=list(references), reduction="none", budget=1
    )
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-10)
    total = deep_lift_shap(classifier, images, 1, baseline=list(references)).sum((1, 2))
    difference = classifier(images)[:, 1] - classifier(references)[:, 1].mean()
    torch.testing.assert_close(total, difference.detach(), rtol=0, atol=1e-10)


def test_shap_is_the_mean_over_references():
    classifier = Classifier(seeded(lambda: PlainNet(nn.ReLU))).double()
    images = rand(2, 3, 16, 16, seed=1)
    mixed = ("black", 0.75, "blur", rand(3, 16, 16, seed=3))
    each = [deep_lift(classifier, images, baseline=one) for one in mixed]
    found = deep_lift_shap(classifier, images, baseline=mixed)
    torch.testing.assert_close(found, torch.stack(each).mean(0), rtol=0, atol=1e-12)
    default = [deep_lift(classifier, images, baseline=one) for one in ("black", "grey", "white")]
    found = deep_lift_shap(classifier, images)
    torch.testing.assert_close(found, torch.stack(default).mean(0), rtol=0, atol=1e-12)


def test_references_are_drawn_without_repeats_from_the_seed():
    background = rand(10, 3, 2, 2)
    drawn = torch.stack(draw_references(background, 6, seed=4))
    hit = (drawn[:, None] == background).flatten(2).all(2)
    assert hit.sum(0).max() == 1
    assert hit.sum() == 6
    assert torch.equal(drawn, torch.stack(draw_references(background, 6, seed=4)))
    assert (
        len(
            {
                tuple(torch.stack(draw_references(background, 3, seed=s)).flatten().tolist())
                for s in range(8)
            }
        )
        > 3
    )


# --- slow layer-by-layer copies -------------------------------------------------------------------


def jacobian(function, x: torch.Tensor) -> torch.Tensor:
    return torch.autograd.functional.jacobian(function, x)


def slow_max_pool(grad, z, b, kernel, stride, padding):
    """The cross-maximum rule window by window, for one channel and one image."""
    height, width = z.shape
    multiplier = torch.zeros_like(z)
    for i in range(grad.shape[0]):
        for j in range(grad.shape[1]):
            cells = [
                (y, x)
                for y in range(i * stride - padding, i * stride - padding + kernel)
                for x in range(j * stride - padding, j * stride - padding + kernel)
                if 0 <= y < height and 0 <= x < width
            ]
            at_x = max(cells, key=lambda c: z[c].item())
            at_b = max(cells, key=lambda c: b[c].item())
            y, y_base = z[at_x], b[at_b]
            cross = max(y, y_base)
            for place, share in ((at_x, cross - y_base), (at_b, y - cross)):
                if share != 0:
                    multiplier[place] += grad[i, j] * share / (z[place] - b[place])
    return multiplier


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (2, 2, 0), (3, 1, 1)])
def test_overlapping_max_pool_network_equals_a_slow_copy(kernel, stride, padding):
    def make():
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel, stride, padding),
            nn.Conv2d(4, 2, 3),
            nn.Flatten(),
            nn.LazyLinear(3),
        )

    network = seeded(make)
    images, base = rand(2, 3, 8, 8, seed=1), rand(2, 3, 8, 8, seed=2)
    network(images)
    found = deep_lift(Classifier(network).double(), images, 1, baseline=base, reduction="none")
    for n in range(2):
        x, b = images[n : n + 1], base[n : n + 1]
        conv, relu, pool, tail = network[0], F.relu, network[2], network[3:]
        z1, b1 = conv(x).detach(), conv(b).detach()
        z2, b2 = relu(z1), relu(b1)
        z3 = pool(z2)
        grad = jacobian(lambda t, tail=tail: tail(t)[0, 1], z3)[0]
        to_pool = torch.stack(
            [slow_max_pool(grad[c], z2[0, c], b2[0, c], kernel, stride, padding) for c in range(4)]
        )
        to_relu = to_pool * (z2 - b2)[0] / (z1 - b1)[0]
        to_image = torch.autograd.functional.vjp(conv, x, to_relu[None])[1]
        torch.testing.assert_close(found[n], (to_image * (x - b))[0], rtol=0, atol=1e-10)


def test_two_layers_of_normalisation_and_softmax_equal_slow_copies():
    """Layer norm and softmax, taken apart by hand on one vector."""
    x, base = rand(1, 6, seed=1, low=-2, high=3), rand(1, 6, seed=2, low=-2, high=2)
    weight = rand(6, seed=3)
    found = attribution_of(lambda z: (F.layer_norm(z, (6,), eps=1e-3) * weight).sum(1), x, base)
    c, d = (x - x.mean())[0], (base - base.mean())[0]
    v, u = (c**2).mean() + 1e-3, (d**2).mean() + 1e-3
    r, s = v**-0.5, u**-0.5
    slope_r = (r - s) / (v - u)
    to_c = torch.zeros(6, dtype=D)
    for i in range(6):
        to_c[i] += weight[i] * (r + s) / 2
        for j in range(6):
            to_c[j] += weight[i] * (c[i] + d[i]) / 2 * slope_r * (c[j] + d[j]) / 6
    expected = (to_c - to_c.mean()) * (x - base)[0]
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-12)

    found = attribution_of(lambda z: (z.softmax(1) * weight).sum(1), x, base)
    z, b = x[0], base[0]
    total, base_total = z.exp().sum(), b.exp().sum()
    log_slope = (total.log() - base_total.log()) / (total - base_total)
    share = (z.exp() - b.exp()) / (z - b) * log_slope
    expected = torch.zeros(6, dtype=D)
    for i in range(6):
        up, down = z[i] - total.log(), b[i] - base_total.log()
        slope = weight[i] * (up.exp() - down.exp()) / (up - down)
        for j in range(6):
            expected[j] += slope * (float(i == j) - share[j]) * (z[j] - b[j])
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-12)


def test_attention_equals_a_slow_copy():
    """softmax(q k) v with q, k, v from the image: midpoints of both products, by loops."""
    n, d = 4, 3
    maps = [rand(d, d, seed=s, low=-1) for s in range(3)]
    x, base = rand(1, n, d, seed=5, low=-1), rand(1, n, d, seed=6, low=-1)

    def attend(z):
        q, k, v = (z @ m for m in maps)
        return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None]).sum((1, 2, 3))

    found = attribution_of(attend, x, base)
    total = (attend(x) - attend(base)).item()
    assert found.sum().item() == pytest.approx(total, abs=1e-12)

    (q, k, v), (q0, k0, v0) = ([z[0] @ m for m in maps] for z in (x, base))
    score, score0 = (a @ b.T / d**0.5 for a, b in ((q, k), (q0, k0)))
    attention, attention0 = score.softmax(1), score0.softmax(1)
    to_v = torch.zeros(n, d, dtype=D)
    to_attention = torch.zeros(n, n, dtype=D)
    for i in range(n):
        for j in range(n):
            for c in range(d):
                to_attention[i, j] += (v[j, c] + v0[j, c]) / 2
                to_v[j, c] += (attention[i, j] + attention0[i, j]) / 2
    to_score = torch.zeros(n, n, dtype=D)
    for i in range(n):
        logs = [s[i].exp().sum() for s in (score, score0)]
        ratio = (logs[0].log() - logs[1].log()) / (logs[0] - logs[1])
        for j in range(n):
            up = score[i, j] - logs[0].log()
            down = score0[i, j] - logs[1].log()
            slope = to_attention[i, j] * (up.exp() - down.exp()) / (up - down)
            to_score[i, j] += slope
            for m in range(n):
                share = (score[i, m].exp() - score0[i, m].exp()) / (score[i, m] - score0[i, m])
                to_score[i, m] -= slope * share * ratio
    to_q = to_score @ (k + k0) / 2 / d**0.5
    to_k = to_score.T @ (q + q0) / 2 / d**0.5
    expected = to_q @ maps[0].T + to_k @ maps[1].T + to_v @ maps[2].T
    torch.testing.assert_close(found[0], expected * (x - base)[0], rtol=0, atol=1e-12)


def test_contributions_say_what_they_add_up_to():
    classifier = Classifier(seeded(lambda: PlainNet(nn.ReLU))).double()
    images = rand(3, 3, 16, 16, seed=1)
    found = deep_lift_contributions(classifier, images, 2, output="log_probability")
    value = classifier(images).log_softmax(1)[:, 2].detach()
    base = classifier(torch.zeros(1, 3, 16, 16, dtype=D)).log_softmax(1)[:, 2].detach()
    torch.testing.assert_close(found.scalar, value, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.difference, value - base, rtol=0, atol=1e-12)
    total = found.attribution.sum((1, 2, 3))
    torch.testing.assert_close(total, value - base, rtol=0, atol=1e-12)
    assert float(found.gap.abs().max()) < 1e-12
