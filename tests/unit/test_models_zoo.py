"""Names, weights, classes and folders become classifiers that compute the same thing."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sundog.models.checkpoint import read_state_dict
from sundog.models.fingerprint import model_fingerprint
from sundog.models.imagenet import PRESETS, distinct_names, imagenet_names
from sundog.models.nets import SmallCNN
from sundog.models.store import load_classifier, save_classifier
from sundog.models.zoo import get_model


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_thousand_names_are_torchvisions_but_distinct():
    meta = pytest.importorskip("torchvision.models._meta")
    ours, theirs = imagenet_names(), meta._IMAGENET_CATEGORIES
    assert len(set(ours)) == 1000
    different = [i for i in range(1000) if ours[i] != theirs[i]]
    assert different == [134, 264, 474, 517, 638, 639]  # cranes, cardigans, maillots


def test_the_imagenette_preset_names_its_classes():
    names = [imagenet_names()[i] for i in PRESETS["imagenette"]]
    assert names == [
        "tench",
        "English springer",
        "cassette player",
        "chain saw",
        "church",
        "French horn",
        "garbage truck",
        "gas pump",
        "golf ball",
        "parachute",
    ]


def test_a_subset_keeps_the_columns_whether_by_number_name_or_preset():
    whole = get_model("efficientnet-lite0")
    images = draw(1, 3, 224, 224)
    logits = whole(images)
    for classes, columns in (
        ("imagenette", PRESETS["imagenette"]),
        ([701, 0], [701, 0]),
        (["church", "tench"], [497, 0]),
        (["crane (machine)", "crane (bird)"], [517, 134]),
    ):
        part = get_model("efficientnet-lite0", classes=classes)
        assert torch.equal(part(images), logits[:, list(columns)])
        assert part.class_names == tuple(imagenet_names()[c] for c in columns)
    renamed = get_model("efficientnet-lite0", classes=[0, 1], class_names=["a", "b"])
    assert renamed.class_names == ("a", "b")


def test_real_weights_recognise_a_photograph_of_a_cat():
    skimage = pytest.importorskip("skimage.data")
    pixels = torch.from_numpy(skimage.chelsea()).permute(2, 0, 1)[None].float() / 255
    image = nn.functional.interpolate(
        pixels[..., :300, 76:376], (224, 224), mode="bilinear", antialias=True
    )
    classifier = get_model("efficientnet-lite0")
    probabilities = classifier.predict(image).softmax(dim=1)[0]
    cats = sum(float(probabilities[i]) for i in range(281, 286))
    assert classifier.class_name(285) == "Egyptian cat"
    assert cats > 0.8


def test_distinct_names():
    assert distinct_names(["a", "b", "a", "a"]) == ("a", "b", "a (2)", "a (3)")
    assert distinct_names(["a", "a", "a (2)"]) == ("a", "a (3)", "a (2)")


def test_random_weights_come_from_the_seed_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    first, again, other = (get_model("cnn5", classes=3, seed=s) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert model_fingerprint(first) == model_fingerprint(again) != model_fingerprint(other)
    assert first.weights == "random"


def test_class_names_give_the_number_of_outputs():
    classifier = get_model("small-cnn", class_names=["cat", "dog", "cow"])
    assert classifier(draw(2, 3, 28, 28)).shape == (2, 3)
    assert classifier.class_names == ("cat", "dog", "cow")


def test_a_new_last_layer_keeps_the_other_weights():
    old, new = get_model("efficientnet-lite0"), get_model("efficientnet-lite0", classes=6)
    assert new.network._fc.out_features == 6
    assert torch.equal(old.network._conv_head.weight, new.network._conv_head.weight)
    assert new.class_names is None
    assert new.recipe["outputs"] == 6


WRAPPERS = {
    "plain": lambda s: s,
    "data parallel": lambda s: {f"module.{k}": v for k, v in s.items()},
    "lightning": lambda s: {
        "epoch": 3,
        "state_dict": {f"model.{k}": v for k, v in s.items()},
        "hyper_parameters": {"lr": 0.1},
    },
    "compiled lightning": lambda s: {
        "state_dict": {f"model._orig_mod.{k}": v for k, v in s.items()}
    },
    "fabric": lambda s: {"model": {f"network.{k}": v for k, v in s.items()}},
    "before counters": lambda s: {
        k: v for k, v in s.items() if not k.endswith("num_batches_tracked")
    },
}


@pytest.mark.parametrize("wrapper", sorted(WRAPPERS))
@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".safetensors"])
def test_checkpoints_of_many_kinds_load(tmp_path, wrapper, suffix):
    origin = get_model("small-cnn", classes=4, seed=9)
    content = WRAPPERS[wrapper](origin.network.state_dict())
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        content = content.get("state_dict", content.get("model", content))
        save_file(content, path)
    else:
        torch.save(content, path)
    loaded = get_model("small-cnn", path, classes=4)
    images = draw(2, 3, 32, 32)
    assert torch.equal(loaded(images), origin(images))
    assert loaded.weights == str(path)


def test_torchvision_checkpoints_load_into_the_reference_resnet(tmp_path):
    pytest.importorskip("torchvision")
    theirs = get_model("torchvision:resnet18", classes=3)
    torch.save(theirs.network.state_dict(), tmp_path / "resnet.pth")
    ours = get_model("resnet18", tmp_path / "resnet.pth", classes=3)
    images = draw(1, 3, 64, 64)
    assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("small-cnn", {"class_names": ["a", "b"], "input_size": 28}),
        ("cnn5", {"classes": 3, "mean": (0.1, 0.2, 0.3), "std": (1 / 3, 0.7, 0.9)}),
        ("small-vit", {"classes": 5, "input_size": 32}),
        ("efficientnet-lite0", {"classes": "imagenette"}),
        ("efficientnet-lite0", {"classes": 4, "class_names": ["a", "b", "c", "d"]}),
        ("timm:resnet10t", {"classes": 3, "output": "probabilities"}),
        ("torchvision:shufflenet_v2_x0_5", {"classes": 2, "cam_layer": "stage4"}),
    ],
)
def test_a_saved_classifier_comes_back_bit_for_bit(tmp_path, name, options):
    if ":" in name:
        pytest.importorskip(name.partition(":")[0])
    classifier = get_model(name, **options)
    save_classifier(classifier, tmp_path / "saved")
    loaded = get_model(tmp_path / "saved")
    side = classifier.input_size or (64, 64)
    images = draw(2, 3, *side)
    assert torch.equal(loaded(images), classifier(images))
    for field in (
        "class_names",
        "class_indices",
        "input_size",
        "output",
        "channels",
        "feature_layer",
        "cam_layer",
        "name",
        "weights",
        "recipe",
    ):
        assert getattr(loaded, field) == getattr(classifier, field)
    assert torch.equal(loaded.mean, classifier.mean)
    assert torch.equal(loaded.std, classifier.std)
    assert model_fingerprint(loaded) == model_fingerprint(classifier)
    assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == [
        "classifier.json",
        "weights.safetensors",
    ]


def test_a_hugging_face_network_is_rebuilt_without_its_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=3
    )
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path / "origin")
    classifier = get_model(f"hf:{tmp_path / 'origin'}", mean=(0.5,) * 3, std=(0.5,) * 3)
    save_classifier(classifier, tmp_path / "saved")
    for file in (tmp_path / "origin").iterdir():
        file.unlink()
    images = draw(2, 3, 32, 32)
    assert torch.equal(get_model(tmp_path / "saved")(images), classifier(images))


def test_a_network_of_the_users_own_needs_the_network_again(tmp_path):
    with torch.random.fork_rng():
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2)).double()
    classifier = get_model(network.float(), input_size=8)
    save_classifier(classifier, tmp_path)
    fresh = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    loaded = load_classifier(tmp_path, network=fresh)
    images = draw(2, 3, 8, 8)
    assert torch.equal(loaded(images), classifier(images))


def test_half_precision_weights_come_back_as_they_were(tmp_path):
    classifier = get_model("small-cnn", classes=2)
    classifier.network.to(torch.bfloat16)
    save_classifier(classifier, tmp_path)
    loaded = get_model(tmp_path)
    state = classifier.network.state_dict()
    assert loaded.network.head.weight.dtype is torch.bfloat16
    assert all(torch.equal(v, state[k]) for k, v in loaded.network.state_dict().items())


def test_saved_weights_are_readable_without_sundog(tmp_path):
    classifier = get_model("small-cnn", classes=2)
    save_classifier(classifier, tmp_path)
    state = read_state_dict(tmp_path)
    assert set(state) == set(SmallCNN(2).state_dict())
    assert json.loads((tmp_path / "classifier.json").read_text())["recipe"]["name"] == "small-cnn"


def test_grey_and_binary_networks():
    class Grey(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)
            self.fc = nn.Linear(2, 1)

        def forward(self, x):
            return self.fc(self.conv(x).mean((2, 3)))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Grey()
    classifier = get_model(
        network, channels=1, output="binary_logit", class_names=["no", "yes"], input_size=16
    )
    images = draw(2, 3, 16, 16)
    z = network(images.mean(1, keepdim=True))[:, 0]
    assert torch.allclose(classifier.probabilities(images)[:, 1], torch.sigmoid(z))
    assert classifier.cam_layer == "conv"
