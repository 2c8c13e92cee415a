"""DeepLIFT on networks of the zoo, as they come: complete, and the same in float32 and float64."""

import pytest
import torch
from torch import nn

from sundog.explain.deep_lift import deep_lift_contributions
from sundog.models import nets
from sundog.models.classifier import Classifier

TORCHVISION = [
    "resnet18",
    "vgg11_bn",
    "densenet121",
    "shufflenet_v2_x0_5",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "regnet_y_400mf",
    "squeezenet1_1",
    "mnasnet0_5",
]


def calibrated(make, size: int) -> nn.Module:
    """Random weights with batch statistics of random images, so that the output is not constant."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make()
        images = torch.rand(8, 3, size, size) * torch.rand(8, 1, 1, 1)
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.normal_(0, 0.3)
        if norms:
            network.train()
            with torch.no_grad():
                network((images - 0.45) / 0.22)
        for module in network.modules():
            if isinstance(module, nn.Linear) and not module.weight.any():
                nn.init.normal_(module.weight, std=0.05)
    return network.eval()


def check(network: nn.Module, size: int, *, images: int = 2) -> None:
    classifier = Classifier(network, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    source = torch.Generator().manual_seed(5)
    shown = torch.rand(images, 3, size, size, generator=source)
    # The class that differs most from the baseline: a relative gap needs a difference.
    change = classifier.predict(shown) - classifier.predict(torch.zeros_like(shown[:1]))
    target = change.abs().argmax(1)
    single = deep_lift_contributions(classifier, shown, target)
    assert float((single.gap.abs() / single.difference.abs()).max()) < 1e-4
    double = deep_lift_contributions(classifier.double(), shown.double(), target)
    assert float((double.gap.abs() / double.difference.abs()).max()) < 1e-9
    torch.testing.assert_close(single.difference.double(), double.difference, rtol=1e-3, atol=1e-5)
    error = (single.attribution - double.attribution).norm() / double.attribution.norm()
    assert float(error) < 0.02


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name):
    models = pytest.importorskip("torchvision.models")
    check(calibrated(lambda: getattr(models, name)(), 64), 64)


def test_torchvision_transformers():
    models = pytest.importorskip("torchvision.models")
    check(calibrated(lambda: models.VisionTransformer(32, 8, 3, 4, 32, 64), 32), 32, images=3)
    swin = calibrated(lambda: models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4]), 32)
    check(swin, 32, images=3)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"])
def test_timm_transformers(name):
    timm = pytest.importorskip("timm")
    network = calibrated(lambda: timm.create_model(name, img_size=64, depth=4), 64)
    check(network, 64, images=3)


def test_hugging_face_transformer():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    check(calibrated(lambda: transformers.ViTForImageClassification(config), 32), 32, images=3)


def test_efficientnet_lite():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    check(calibrated(lambda: package.EfficientNet.from_name("efficientnet-lite0"), 64), 64)


@pytest.mark.parametrize("name", ["SmallCNN", "ResNet18"])
def test_our_own_networks(name):
    check(calibrated(lambda: getattr(nets, name)(10), 64), 64)
