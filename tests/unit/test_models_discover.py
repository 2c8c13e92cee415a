"""One probe image finds the head, the features and the layer for Grad-CAM."""

import pytest
import torch
from torch import nn

from sundog.core.errors import InputError, LayerError, ModelStateError
from sundog.models.classifier import Classifier
from sundog.models.discover import discover
from sundog.models.features import extract_features
from sundog.models.layers import capture
from sundog.models.nets import CNN5, ResNet18, SmallCNN
from sundog.models.tokens import to_feature_map
from sundog.models.zoo import get_model


def vision_transformer():
    from torchvision.models import VisionTransformer

    return VisionTransformer(64, 16, 3, 2, 32, 64, num_classes=5)


def swin_transformer():
    from torchvision.models import SwinTransformer

    return SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=5)


def timm_transformer(**options):
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(64, 16, embed_dim=32, depth=3, num_heads=2, num_classes=5, **options)


def timm_swin():
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        64, 4, embed_dim=16, depths=(1, 1), num_heads=(2, 2), window_size=4, num_classes=5
    )


def timm_cait():
    from timm.models.cait import Cait

    return Cait(64, 16, embed_dim=32, depth=2, num_heads=2, num_classes=5)


def timm_mixer():
    from timm.models.mlp_mixer import MlpMixer

    return MlpMixer(img_size=64, patch_size=16, num_blocks=2, embed_dim=32, num_classes=5)


def vgg():
    from torchvision.models import VGG

    layers = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(True), nn.Conv2d(8, 512, 3), nn.ReLU(True)]
    return VGG(nn.Sequential(*layers, nn.MaxPool2d(2)), num_classes=5, dropout=0.1)


def hugging_face():
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(
        ViTConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            image_size=64,
            patch_size=16,
            num_labels=5,
        )
    )


EXPECTED = {
    "torchvision:resnet18": ("fc", "layer4"),
    "torchvision:densenet121": ("classifier", "features"),
    "torchvision:mobilenet_v2": ("classifier.1", "features"),
    "torchvision:shufflenet_v2_x0_5": ("fc", "conv5"),
    "torchvision:squeezenet1_1": ("classifier.1", "features"),
    "timm:resnet18": ("fc", "layer4"),
    "timm:convnext_atto": ("head.fc", "stages"),
    vgg: ("classifier.6", "features.3"),  # before the max-pooling and the 7 x 7 means
    swin_transformer: ("head", "permute"),
    vision_transformer: ("heads.head", "encoder.layers.encoder_layer_2.ln_1"),
    timm_transformer: ("head", "blocks.2.norm1"),
    timm_swin: ("head.fc", "norm"),
    timm_cait: ("head", "blocks_token_only.1.norm1"),
    timm_mixer: ("head", "norm"),
    hugging_face: ("classifier", "1.layernorm_before"),  # the rest depends on the version,
}


@pytest.fixture(scope="module", params=EXPECTED, ids=lambda p: getattr(p, "__name__", p))
def model(request):
    for package in ("torchvision", "timm", "transformers"):
        pytest.importorskip(package)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if isinstance(request.param, str):
            return request.param, get_model(request.param, classes=5)
        return request.param, get_model(request.param(), input_size=64)


def test_the_layers_of_known_networks_give_a_map_that_the_decision_depends_on(model):
    key, model = model
    head, cam = EXPECTED[key]
    assert model.feature_layer == f"{head}:input"
    assert model.cam_layer == cam or (key is hugging_face and model.cam_layer.endswith(cam))
    for parameter in model.network.get_submodule(head).parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))  # ViT's are zero
    images = torch.rand(1, 3, *model.input_size, generator=torch.Generator().manual_seed(2))
    with capture(model, model.cam_layer) as captured, torch.enable_grad():
        logits = model(images.requires_grad_())
        layer_output = captured.one(cam)
        (gradient,) = torch.autograd.grad(logits.sum(), layer_output)
    found = to_feature_map(gradient, model.input_size)
    share = (found.abs().sum(dim=1) > 0).float().mean()
    assert found.shape[2] == found.shape[3] > 1
    assert share > 0.9, "patches without gradient"
    features = extract_features(model, images.detach())
    weight = model.network.get_submodule(head).weight.flatten(1)
    assert features.shape == (1, weight.shape[1])


def test_a_transformer_that_averages_its_patches_uses_the_whole_last_block():
    pytest.importorskip("timm")
    classifier = get_model(timm_transformer(class_token=False, global_pool="avg"), input_size=64)
    assert classifier.cam_layer in ("blocks", "blocks.2")


@pytest.mark.parametrize("registers", [1, 4])
def test_register_tokens_are_left_out(registers):
    pytest.importorskip("timm")
    network = timm_transformer(reg_tokens=registers)
    classifier = get_model(network, input_size=64)
    with capture(classifier, classifier.cam_layer) as captured:
        classifier(torch.rand(1, 3, 64, 64))
    tokens = captured.one("norm")
    found = to_feature_map(tokens, (64, 64))
    assert found.shape == (1, 32, 4, 4)
    assert torch.equal(found.flatten(2)[0].T, tokens[0, 1 + registers :])


@pytest.mark.parametrize("make", [SmallCNN, CNN5, ResNet18])
def test_reference_networks_and_features_that_the_head_turns_into_logits(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = get_model(make(4), input_size=64)
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = extract_features(classifier, images, batch_size=2)
    head = classifier.network.get_submodule(classifier.feature_layer.removesuffix(":input"))
    assert torch.allclose(head(features), classifier(images), atol=1e-6)
    assert classifier.cam_layer in ("features", "layer4")


class Reused(nn.Module):
    """The last activation is called twice, so it has no single output."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 4, 3)
        self.act = nn.ReLU()
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.act(self.second(self.act(self.first(x)))).mean((2, 3)))


def test_a_module_called_twice_is_not_chosen():
    classifier = Classifier(Reused(), input_size=(16, 16))
    assert discover(classifier).cam_layer == "second"
    with capture(classifier, "act") as captured:
        classifier(torch.rand(1, 3, 16, 16))
    with pytest.raises(LayerError, match="2 calls"):
        captured.one("act")


def test_a_network_without_layers_has_none():
    class Bare(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    found = discover(Classifier(Bare(), input_size=(8, 8)))
    assert (found.classes, found.head, found.feature_layer, found.cam_layer) == (
        3,
        None,
        None,
        None,
    )
    with pytest.raises(LayerError, match="feature layer"):
        extract_features(Classifier(Bare()), torch.rand(1, 3, 8, 8))


def test_hooks_and_state_are_as_before_also_after_an_error():
    class Broken(SmallCNN):
        def forward(self, images):
            self.features(images)
            raise RuntimeError("on purpose")

    for network, size in ((SmallCNN(3), None), (Broken(3), (32, 32))):
        classifier = Classifier(network, input_size=size)
        before = torch.get_rng_state()
        if size is None:
            discover(classifier)
        else:
            with pytest.raises(InputError, match="on purpose"):
                discover(classifier)
        assert torch.equal(before, torch.get_rng_state())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in classifier.modules())
        assert all(p.grad is None and p.requires_grad for p in classifier.parameters())


def test_a_network_in_train_mode_is_refused():
    classifier = Classifier(SmallCNN(3))
    classifier.train()
    with pytest.raises(ModelStateError, match="eval mode"):
        discover(classifier)


def test_the_probe_size_is_found_for_a_network_that_takes_only_one():
    network = nn.Sequential(nn.Conv2d(3, 2, 5), nn.Flatten(), nn.Linear(2 * 28 * 28, 3))
    assert discover(Classifier(network)).head == "2"  # 32 px
    with pytest.raises(InputError, match="input_size"):
        discover(Classifier(nn.Sequential(nn.Flatten(), nn.Linear(7, 3))))


def test_the_input_of_a_layer_can_be_recorded_and_cut():
    classifier = Classifier(SmallCNN(3))
    images = torch.rand(2, 3, 28, 28)
    with capture(classifier, "head:input", cut=True) as captured:
        logits = classifier(images)
    features = captured.one("head:input")
    assert features.is_leaf
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), features)
    assert torch.allclose(gradient, classifier.network.head.weight[1].expand(2, -1))
    assert not classifier.network.head._forward_pre_hooks
