"""The object over the table, and the overlay of one feature."""

import json

import lightning_fabric
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from sundog.core.errors import InputError, ModelStateError, UnknownNameError
from sundog.explain.feature_map import feature_map
from sundog.explain.integrated_gradients import integrated_gradients
from sundog.explain.registry import METHODS
from sundog.explain.saliency_map import AppendSaliency, SaliencyMap
from sundog.models.classifier import Classifier


def make_network():
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()


@pytest.fixture
def classifier():
    return Classifier(make_network(), mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.fixture
def images():
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))


LISTED = [
    "integrated_gradients",
    "gradient_shap",
    "deep_lift",
    "deep_lift_shap",
    "layer_conductance",
    "neuron_conductance",
    "noise_tunnel",
    "layer_grad_cam",
]


@pytest.mark.parametrize("name", [n for n in LISTED if n in METHODS])
@pytest.mark.parametrize("bare", [True, False])
def test_the_list_of_the_inspection_tool(classifier, images, name, bare):
    model = make_network() if bare else classifier
    given = images * 4 - 2 if bare else images  # a bare network takes normalised images
    tool = SaliencyMap(model, name)
    maps = tool.generate_saliency_map(given, n_steps=4, neuron_index=1)
    assert maps.shape == (2, 8, 8)
    assert torch.isfinite(maps).all()
    assert maps.abs().max() > 0
    wide = tool.generate_saliency_map(given, n_steps=4, neuron_index=1, internal_batch_size=None)
    torch.testing.assert_close(wide, maps)
    assert tool.attribution.method == name
    if not bare:
        return
    same = SaliencyMap(classifier, name).generate_saliency_map(
        images, baseline=0.5, n_steps=4, neuron_index=1, stdevs=1e-4 / 4
    )
    if name in ("integrated_gradients", "layer_conductance"):
        # (4 x - 2) = (x - 0.5) / 0.25, and 0 there is the mean colour here
        torch.testing.assert_close(maps, same, rtol=1e-4, atol=1e-6)


def test_arguments_reach_the_method(classifier, images):
    tool = SaliencyMap(classifier)
    found = tool.generate_saliency_map(
        images, target=1, baseline=torch.full((3, 8, 8), 0.2), n_steps=6
    )
    expected = integrated_gradients(
        classifier, images, 1, baseline=torch.full((3, 8, 8), 0.2), n_steps=6
    )
    torch.testing.assert_close(found, expected)
    tunnel = SaliencyMap(classifier, "noise_tunnel")
    tunnel.generate_saliency_map(images, n_samples=3, n_steps=2, stdevs=0.01)
    assert tunnel.attribution.parameters["inner"] == "integrated_gradients"
    assert tunnel.attribution.parameters["inner_parameters"]["n_steps"] == 2
    assert tunnel.attribution.parameters["stdevs"] == 0.01
    assert tunnel.attribution.parameters["n_samples"] == 3
    layered = SaliencyMap(classifier, "layer_conductance")
    layered.generate_saliency_map(images, layer=classifier.network[0], n_steps=2)
    assert layered.attribution.parameters["layer"] is classifier.network[0]


def test_a_tensor_of_references_is_a_background(classifier, images):
    references = torch.rand(5, 3, 8, 8)
    tool = SaliencyMap(classifier, "gradient_shap")
    tool.generate_saliency_map(images, baseline=references, n_samples=40)
    assert len(tool.attribution.parameters["baseline"]) == 5


def test_saving(classifier, images, tmp_path, monkeypatch):
    tool = SaliencyMap(
        classifier, "layer_grad_cam", fabric=lightning_fabric.Fabric(accelerator="cpu")
    )
    maps = tool.generate_saliency_map(images, save_maps=True, save_to_path=tmp_path / "a" / "m.v1")
    assert tool.saved_to == tmp_path / "a" / "m.v1.safetensors"
    tensors = load_file(tool.saved_to)
    assert torch.equal(tensors["maps"], maps)
    assert torch.equal(tensors["target"], tool.attribution.target)
    record = json.loads((tmp_path / "a" / "m.v1.json").read_text())
    assert record["method"] == "layer_grad_cam"
    assert record["parameters"]["layer"] == "1"
    monkeypatch.chdir(tmp_path)
    tool.generate_saliency_map(images, save_maps=True)
    first = tool.saved_to
    tool.generate_saliency_map(images, save_maps=True)
    assert tool.saved_to == first
    assert first.parent.name == "saliency"
    assert sorted(p.suffix for p in first.parent.iterdir()) == [".json", ".safetensors"]


def test_refused(classifier, images):
    with pytest.raises(UnknownNameError, match="'gradient_shap'"):
        SaliencyMap(classifier, "gradientshap")
    with pytest.raises(InputError, match="neuron_index must be given"):
        SaliencyMap(classifier, "neuron_conductance").generate_saliency_map(images)
    with pytest.raises(InputError, match="internal_batch_size"):
        SaliencyMap(classifier).generate_saliency_map(images, internal_batch_size=0)
    with pytest.raises(InputError, match="finite"):
        SaliencyMap(make_network()).generate_saliency_map(images * float("nan"))
    with pytest.raises(InputError, match=r"in \[0, 1\]"):
        SaliencyMap(classifier).generate_saliency_map(images * 4 - 2)
    network = make_network()
    network[1].train()
    tool = SaliencyMap(network)
    assert network[1].training
    assert not network[0].training
    with pytest.raises(ModelStateError, match="eval mode"):
        tool.generate_saliency_map(images)


def test_feature_map_is_the_channel(classifier, images):
    raw = classifier.network[:2](classifier.normalise(images)).detach()
    for k in range(4):
        found = feature_map(classifier, images, k, resized=False)
        torch.testing.assert_close(found, raw[:, k])
        feature = classifier.network[:4](classifier.normalise(images))[:, k]
        torch.testing.assert_close(found.mean((1, 2)), feature.detach())
    large = feature_map(classifier, images, 2)
    assert large.shape == (2, 8, 8)
    torch.testing.assert_close(feature_map(classifier, images, 2, budget=1), large)
    with pytest.raises(InputError, match=r"in 0\.\.3"):
        feature_map(classifier, images, 4)


def test_overlay(classifier, images):
    data = [(image, 7) for image in images]
    seen = AppendSaliency(data, classifier, 2, alpha=0.25)
    assert len(seen) == 2
    for i, item in enumerate(seen[k] for k in range(2)):
        torch.testing.assert_close(item.map, feature_map(classifier, images[i][None], 2)[0])
        assert item.label == 7
        m = item.map / item.map.max()
        red, green, blue = (3 * m).clamp(0, 1), (3 * m - 1).clamp(0, 1), (3 * m - 2).clamp(0, 1)
        expected = 0.75 * images[i] + 0.25 * torch.stack([red, green, blue])
        torch.testing.assert_close(item.image, expected)
    plain = AppendSaliency(data, classifier, 2, alpha=0.0)[0]
    torch.testing.assert_close(plain.image, images[0])


def test_overlay_reads_arrays_pictures_and_image_sets(classifier):
    array = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    tensor = torch.from_numpy(array).permute(2, 0, 1).float() / 255

    class Images:
        labels = np.array([4])

        def __len__(self):
            return 1

        def image(self, index):
            return array

    expected = AppendSaliency([tensor], classifier, 1)[0]
    assert expected.label is None
    for data, label in (
        ([(array, 3)], 3),
        ([(Image.fromarray(array), 3)], 3),
        (Images(), 4),
    ):
        item = AppendSaliency(data, classifier, 1)[0]
        assert item.label == label
        torch.testing.assert_close(item.image, expected.image)
    grey = AppendSaliency([Image.fromarray(array).convert("L")], classifier, 1)[0]
    assert grey.image.shape == (3, 8, 8)


def test_overlay_at_another_size(images):
    sized = Classifier(make_network(), input_size=(16, 16))
    item = AppendSaliency([images[0]], sized, 0)[0]
    assert item.map.shape == (8, 8)
    assert item.image.shape == (3, 8, 8)


def test_overlay_refuses(classifier, images):
    with pytest.raises(InputError, match="alpha"):
        AppendSaliency([images[0]], classifier, 0, alpha=1.5)
    with pytest.raises(InputError, match="feature_idx"):
        AppendSaliency([images[0]], classifier, 9)[0]
    with pytest.raises(InputError, match="Item 0 of the data set"):
        AppendSaliency([torch.rand(8, 8)], classifier, 0)[0]
    with pytest.raises(IndexError):
        AppendSaliency([images[0]], classifier, 0)[1]
    assert [item.label for item in AppendSaliency([images[0]], classifier, 0)] == [None]
