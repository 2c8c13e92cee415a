"""The face lab's network: shapes, start, single logit, saved and trained."""

import numpy as np
import pytest
import torch
from torch import nn

from sundog.core.errors import InputError
from sundog.data.arrays import from_arrays
from sundog.models.lab_nets import LabCNN
from sundog.models.store import load_classifier, save_classifier
from sundog.models.train import train_classifier
from sundog.models.zoo import get_model


def test_layers_are_the_seeds():
    network = LabCNN(1)
    convolutions = [m for m in network.features if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [12, 24, 48, 72, 96]
    assert [m.kernel_size[0] for m in convolutions] == [5, 5, 3, 3, 3]
    assert all(m.stride == (2, 2) for m in convolutions)
    # Keras' count: (5*5*3+1)*12 + (5*5*12+1)*24 + (9*24+1)*48 + (9*48+1)*72 + (9*72+1)*96,
    # 2 per channel of the norms, (4*96+1)*512 and 512+1.
    assert sum(p.numel() for p in network.parameters()) == (
        912 + 7224 + 10416 + 31176 + 62304 + 2 * 252 + 197120 + 513
    )
    sides = []
    for module in convolutions:
        module.register_forward_hook(lambda _m, _i, out: sides.append(out.shape[2]))
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 1)
    assert sides == [32, 16, 8, 4, 2]
    kinds = [type(m).__name__ for m in network.features]
    assert kinds == ["Conv2d", "ReLU", "BatchNorm2d"] * 5


def test_weights_start_as_in_keras_and_come_from_the_seed():
    network = get_model("lab-cnn", classes=2, seed=5).network
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.weight)
            limit = (6 / (fan_in + fan_out)) ** 0.5
            assert float(module.weight.detach().abs().max()) <= limit
            assert float(module.weight.detach().abs().max()) > 0.9 * limit
            assert float(module.bias.detach().abs().max()) == 0
    again = get_model("lab-cnn", classes=2, seed=5).network
    assert torch.equal(network.hidden.weight, again.hidden.weight)
    assert not torch.equal(
        network.hidden.weight, get_model("lab-cnn", classes=2).network.hidden.weight
    )


def test_the_zoo_knows_it():
    classifier = get_model("lab-cnn", classes=3)
    assert classifier.input_size == (64, 64)
    assert classifier.feature_layer == "head:input"
    assert classifier(torch.rand(2, 3, 64, 64)).shape == (2, 3)
    with pytest.raises(InputError, match="32 x 32"):
        get_model("lab-cnn", classes=3, input_size=32)


def test_a_single_logit_is_trained_stored_and_loaded(tmp_path):
    classifier = get_model("lab-cnn", classes=1, class_names=("a", "b"), output="binary_logit")
    assert classifier.network.head.out_features == 1
    random = np.random.default_rng(0)
    labels = np.arange(24) % 2
    pixels = random.integers(0, 90, (24, 64, 64, 3)) + 120 * labels[:, None, None, None]
    images = from_arrays(pixels.astype(np.uint8), labels, ("a", "b"))
    run = train_classifier(classifier, images, epochs=4, batch_size=8, device="cpu", progress=False)
    assert run.history["accuracy"].iloc[-1] == 1
    save_classifier(run.classifier, tmp_path)
    batch = next(images.batches(size=None, batch_size=5)).images
    loaded = load_classifier(tmp_path)
    ours, theirs = loaded.state_dict(), run.classifier.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    torch.testing.assert_close(loaded.predict(batch), run.classifier.predict(batch))
    assert loaded.output == "binary_logit"
