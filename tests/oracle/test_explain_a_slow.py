"""Slow, separate re-implementations: the practical's conventions, noise, weights of the maps."""

import pytest
import torch
from scipy.integrate import quad_vec
from torch import nn

from sundog.core.seeds import generator, image_generator
from sundog.explain.attribute import attribute
from sundog.explain.grad_cam import grad_cam
from sundog.explain.grad_cam_plus_plus import grad_cam_plus_plus
from sundog.explain.gradient_norm import gradient_norm
from sundog.explain.gradient_shap import gradient_shap
from sundog.explain.gradient_x_input import gradient_x_input
from sundog.explain.integrated_gradients import integrated_gradients
from sundog.explain.layer_conductance import layer_conductance
from sundog.explain.noise_tunnel import noise_tunnel
from sundog.models.classifier import Classifier


class Net(nn.Module):
    """Convolutions, one ReLU used three times (once in place, once as a function), a skip."""

    def __init__(self, inplace):
        super().__init__()
        torch.manual_seed(5)
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.body = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 7, 3, stride=2)
        self.relu = nn.ReLU(inplace=inplace)
        self.head = nn.Linear(7, 4)

    def forward(self, x):
        x = self.relu(self.stem(x))
        x = self.relu(self.body(x)) + x
        x = self.last(torch.relu_(x - 0.1))
        return self.head(self.relu(x).mean((2, 3)))


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(params=[False, True], ids=["plain", "in place"])
def classifier(request):
    return Classifier(Net(request.param), mean=MEAN, std=STD).double()


@pytest.fixture
def images():
    return torch.rand(3, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def gradient_at(classifier, x, c):
    """Gradient of one logit at one image, through an out-of-place copy of the network."""
    plain = Classifier(Net(False), mean=MEAN, std=STD).double()
    plain.load_state_dict(classifier.state_dict())
    return torch.autograd.functional.jacobian(lambda z: plain(z[None])[0, c], x)


def test_practicals_gradient_methods(classifier, images):
    for name in ("norm", "input", "integrated"):
        expected = []
        for image in images:
            c = int(classifier.predict(image[None]).argmax())
            if name == "integrated":
                steps = [image * a for a in torch.linspace(1, 0, 6, dtype=torch.float64)]
                mean = torch.stack([gradient_at(classifier, s, c) for s in steps]).mean(0)
                attribution = (image - torch.zeros_like(image)) * mean
            else:
                attribution = gradient_at(classifier, image, c)
                attribution = attribution * image if name == "input" else attribution
            expected.append(attribution.square().sum(0).sqrt())
        found = {
            "norm": lambda: gradient_norm(classifier, images),
            "input": lambda: gradient_x_input(classifier, images),
            "integrated": lambda: integrated_gradients(
                classifier, images, n_steps=6, rule="riemann"
            ),
        }[name]()
        torch.testing.assert_close(found, torch.stack(expected))


def plain_cam(classifier, image, c, plus_plus):
    """Class activation map of the layer before the last ReLU, from the network's own parts."""
    net = classifier.network
    x = (image[None] - classifier.mean) / classifier.std
    a = torch.relu(torch.nn.functional.conv2d(x, net.stem.weight, net.stem.bias, padding=1))
    b = torch.relu(torch.nn.functional.conv2d(a, net.body.weight, net.body.bias, padding=1)) + a
    feature = torch.nn.functional.conv2d(
        torch.relu(b - 0.1), net.last.weight, net.last.bias, stride=2
    ).detach()

    def head(z):
        return net.head(torch.relu(z).mean((2, 3)))[0, c]

    g = torch.autograd.functional.jacobian(head, feature)[0]
    total = torch.zeros(feature.shape[2:], dtype=torch.float64)
    for k in range(feature.shape[1]):
        if plus_plus:
            weight = 0.0
            for value in g[k].flatten().tolist():
                if value != 0:
                    bottom = 2 * value**2 + float(feature[0, k].sum()) * value**3
                    weight += value**2 / bottom * max(value, 0.0) if bottom > 0 else 0.0
        else:
            weight = float(g[k].sum()) / g[k].numel()
        total += weight * feature[0, k]
    small = total.clamp_min(0)
    rows = []  # bilinear with half-pixel centres, pixel by pixel
    n, m = small.shape[0], 12
    for i in range(m):
        row = []
        for j in range(m):
            y, x_ = (max((t + 0.5) * n / m - 0.5, 0.0) for t in (i, j))
            y0, x0 = int(y), int(x_)
            y1, x1 = min(y0 + 1, n - 1), min(x0 + 1, n - 1)
            fy, fx = y - y0, x_ - x0
            top = small[y0, x0] * (1 - fx) + small[y0, x1] * fx
            row.append(top * (1 - fy) + (small[y1, x0] * (1 - fx) + small[y1, x1] * fx) * fy)
        rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize("plus_plus", [False, True])
def test_class_activation_maps(classifier, images, plus_plus):
    method = grad_cam_plus_plus if plus_plus else grad_cam
    found = method(classifier, images, layer="last")
    classes = classifier.predict(images).argmax(1).tolist()
    for image, c, ours in zip(images, classes, found, strict=True):
        torch.testing.assert_close(ours, plain_cam(classifier, image, c, plus_plus).detach())
    assert found.max() > 0


@pytest.mark.parametrize("mode", ["smoothgrad", "smoothgrad_square", "vargrad"])
@pytest.mark.parametrize("inner", ["gradient_norm", "gradient_x_input", "grad_cam"])
def test_noise_tunnel(classifier, images, mode, inner):
    n = 4
    parameters = {"layer": "last"} if inner == "grad_cam" else {}
    found = noise_tunnel(
        classifier, images, inner=inner, inner_parameters=parameters, mode=mode, n_samples=n, seed=7
    )
    for i, image in enumerate(images):
        c = int(classifier.predict(image[None]).argmax())
        start = image_generator(image, 7, "noise tunnel").initial_seed()
        samples = []
        for k in range(n):
            noise = torch.randn(image.shape, generator=generator(start, k)).double()
            noisy = image + 0.15 * (image.max() - image.min()) * noise
            if inner == "grad_cam":
                samples.append(plain_cam(classifier, noisy, c, False).detach())
            else:
                g = gradient_at(classifier, noisy, c)
                samples.append(g if inner == "gradient_norm" else g * noisy)
        raw = torch.stack(samples)
        value = {
            "smoothgrad": raw.mean(0),
            "smoothgrad_square": raw.square().mean(0),
            "vargrad": raw.var(0, unbiased=False),
        }[mode]
        if inner != "grad_cam":
            value = value.norm(dim=0) if mode == "smoothgrad" else value.sum(0)
        torch.testing.assert_close(found[i], value)


def test_gradient_shap(classifier, images):
    references = torch.rand(4, 3, 12, 12, dtype=torch.float64)
    found = gradient_shap(
        classifier, images, 2, baseline=list(references), n_samples=5, stdevs=0.1, seed=3
    )
    used = set()
    for i, image in enumerate(images):
        start = image_generator(image, 3, "gradient shap").initial_seed()
        total = torch.zeros_like(image)
        for k in range(5):
            g = generator(start, k)
            which = int(torch.randint(4, (), generator=g))
            used.add(which)
            u = float(torch.rand((), generator=g))
            end = image + 0.1 * torch.randn(image.shape, generator=g).double()
            base = references[which]
            total += (end - base) * gradient_at(classifier, base + u * (end - base), 2)
        torch.testing.assert_close(found[i], (total / 5).sum(0))
    assert len(used) > 2


def test_layer_conductance_is_the_integral():
    """Against adaptive quadrature of df/dy dy/da with exact derivatives, on a smooth network."""
    torch.manual_seed(0)
    front = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Tanh()).double()
    back = nn.Sequential(nn.Conv2d(3, 2, 2), nn.Softplus(), nn.Flatten(), nn.Linear(18, 2)).double()
    classifier = Classifier(nn.Sequential(front, back)).double()
    image = torch.rand(1, 3, 6, 6, dtype=torch.float64)

    def integrand(alpha):
        y, slope = torch.autograd.functional.jvp(front, alpha * image, image)
        g = torch.autograd.functional.jacobian(lambda z: back(z)[0, 1], y)
        return (g * slope).detach().flatten().numpy()

    exact, _ = quad_vec(integrand, 0, 1, epsabs=1e-10)
    errors = []
    for n in (20, 40):
        found = layer_conductance(classifier, image, 1, layer="0", n_steps=n, reduction="none")
        errors.append(float((found.flatten() - torch.from_numpy(exact)).abs().max()))
    assert errors[0] < 1e-3 * abs(exact).max()
    assert 3.5 < errors[0] / errors[1] < 4.5  # second order


@pytest.mark.parametrize("layer", ["last", "relu2"])
def test_layer_conductance_is_complete_before_pooling(images, layer):
    """With an affine rest of the network the sum is exact, whatever comes before the layer."""
    torch.manual_seed(1)
    network = nn.Sequential()
    network.add_module("conv", nn.Conv2d(3, 6, 3))
    network.add_module("relu1", nn.ReLU(inplace=True))
    network.add_module("last", nn.Conv2d(6, 7, 3))
    network.add_module("relu2", nn.ReLU(inplace=True))
    network.add_module("pool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flat", nn.Flatten())
    network.add_module("head", nn.Linear(7, 4))
    classifier = Classifier(network, mean=MEAN, std=STD).double()
    found = attribute(classifier, images, "layer_conductance", layer=layer, n_steps=5)
    difference = classifier.predict(images) - classifier.predict(torch.zeros_like(images))
    f = difference.gather(1, found.target[:, None])[:, 0]
    if layer == "relu2":
        assert (found.completeness_gap.abs() < 1e-12).all()
    else:  # one ReLU after it: small, and smaller with more steps
        more = attribute(classifier, images, "layer_conductance", layer=layer, n_steps=80)
        assert (found.completeness_gap.abs() < 0.2 * f.abs()).all()
        assert more.completeness_gap.abs().max() < 0.2 * found.completeness_gap.abs().max()
    assert found.maps.shape == (3, 12, 12)
