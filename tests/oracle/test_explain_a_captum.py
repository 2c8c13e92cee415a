"""Every method that captum 0.9 has too, against it, in float64."""

import pytest
import torch
from captum import attr
from torch import nn

from sundog.explain.grad_cam import grad_cam
from sundog.explain.gradient_norm import gradient_norm
from sundog.explain.gradient_shap import gradient_shap
from sundog.explain.gradient_x_input import gradient_x_input
from sundog.explain.integrated_gradients import integrated_gradients
from sundog.explain.layer_conductance import layer_conductance
from sundog.explain.layer_grad_cam import layer_grad_cam
from sundog.explain.neuron_conductance import neuron_conductance
from sundog.models.classifier import Classifier

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
TARGET = torch.tensor([0, 2, 1])


def make_classifier(activation: type[nn.Module] = nn.Softplus) -> Classifier:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        activation(),
        nn.AvgPool2d(2),
        nn.Conv2d(5, 6, 3),
        activation(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 3),
        nn.Softplus(),
        nn.Linear(3, 3),
    )
    network[1].running_mean.normal_()
    network[1].running_var.uniform_(0.5, 2)
    return Classifier(network, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)).double()


@pytest.fixture
def classifier():
    return make_classifier()


@pytest.fixture
def images():
    return torch.rand(3, 3, 10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def same(ours, theirs, tolerance=1e-12):
    scale = theirs.abs().max()
    assert scale > 0
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * scale


def test_gradient_norm(classifier, images):
    theirs = attr.Saliency(classifier).attribute(images.clone(), target=TARGET, abs=False).detach()
    same(gradient_norm(classifier, images, TARGET, reduction="none"), theirs)
    same(gradient_norm(classifier, images, TARGET), theirs.square().sum(1).sqrt())
    same(gradient_norm(classifier, images, TARGET, reduction="abs_sum"), theirs.abs().sum(1))


def test_gradient_x_input(classifier, images):
    theirs = attr.InputXGradient(classifier).attribute(images.clone(), target=TARGET).detach()
    same(gradient_x_input(classifier, images, TARGET, reduction="none"), theirs)


@pytest.mark.parametrize("kind", ["probability", "log_probability"])
def test_output_kinds(classifier, images, kind):
    def forward(x):
        return classifier(x).softmax(1) if kind == "probability" else classifier(x).log_softmax(1)

    theirs = attr.Saliency(forward).attribute(images.clone(), target=TARGET, abs=False).detach()
    same(gradient_norm(classifier, images, TARGET, reduction="none", output=kind), theirs)


@pytest.mark.parametrize(
    ("rule", "name", "factor"),
    [
        ("gauss_legendre", "gausslegendre", 1.0),
        ("midpoint", "riemann_middle", 1.0),
        ("right", "riemann_right", 1.0),
        ("left", "riemann_left", 1.0),
        # captum's trapezoid has weights that sum to (n - 1) / n
        ("trapezoid", "riemann_trapezoid", 12 / 11),
    ],
)
def test_integrated_gradients(classifier, images, rule, name, factor):
    start = torch.rand_like(images)
    theirs = attr.IntegratedGradients(classifier).attribute(
        images, baselines=start, target=TARGET, n_steps=12, method=name
    )
    ours = integrated_gradients(
        classifier, images, TARGET, baseline=start, n_steps=12, rule=rule, reduction="none"
    )
    same(ours, factor * theirs, 1e-7)  # captum rounds its step sizes to float32


def test_gradient_shap_of_many_samples_tends_to_captums_integrated_gradients(classifier, images):
    # captum's GradientShap draws other numbers: without noise both have this mean
    baselines = [0.0, 1.0]
    theirs = sum(
        attr.IntegratedGradients(classifier).attribute(
            images[:1], baselines=b, target=0, n_steps=60
        )
        for b in baselines
    ) / len(baselines)
    ours = gradient_shap(
        classifier, images[:1], 0, baseline=baselines, n_samples=4000, reduction="none"
    )
    assert (ours - theirs).abs().max() < 0.06 * theirs.abs().max()


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Softplus])
def test_layer_grad_cam(images, activation):
    classifier = make_classifier(activation)
    layer = classifier.network[5]
    for relu in (False, True):
        theirs = attr.LayerGradCam(classifier, layer).attribute(
            images, target=TARGET, relu_attributions=relu
        )
        method = grad_cam if relu else layer_grad_cam
        ours = method(classifier, images, TARGET, layer="5", resized=False)
        if relu and theirs.abs().max() == 0:
            assert ours.abs().max() == 0
        else:
            same(ours, theirs[:, 0].detach())


def test_layer_conductance_converges_to_captums(classifier, images):
    layer = classifier.network[5]
    exact = attr.LayerConductance(classifier, layer).attribute(
        images, baselines=0.0, target=TARGET, n_steps=2000, method="riemann_trapezoid"
    )
    ours = layer_conductance(classifier, images, TARGET, layer="5", n_steps=100, reduction="none")
    same(ours, exact.detach(), 2e-3)
    coarse = layer_conductance(classifier, images, TARGET, layer="5", n_steps=10, reduction="none")
    theirs = attr.LayerConductance(classifier, layer).attribute(
        images, baselines=0.0, target=TARGET, n_steps=10
    )
    assert (coarse - ours).abs().max() < 0.5 * (theirs - ours).abs().max()


@pytest.mark.parametrize("index", [(2, 1, 0), (4, 0, 2)])
def test_neuron_conductance(classifier, images, index):
    layer = classifier.network[5]
    theirs = attr.NeuronConductance(classifier, layer).attribute(
        images, index, baselines=0.0, target=TARGET, n_steps=20, method="gausslegendre"
    )
    ours = neuron_conductance(
        classifier, images, TARGET, layer="5", neuron_index=index, n_steps=20, reduction="none"
    )
    same(ours, theirs.detach(), 1e-7)
