"""Bad input to the VAE methods is refused with what to try."""

import numpy as np
import pytest
import torch
from torch import nn

from sundog.core.errors import CheckpointError, InputError, ModelStateError
from sundog.core.seeds import generator
from sundog.models.feature_table import table_from_arrays
from sundog.risk.decoder import FaceDecoder, derive_decoder
from sundog.risk.estimator import Passed
from sundog.risk.feature_queue import FeatureQueue
from sundog.risk.histogram_vae import HistogramVAE
from sundog.risk.latent_histogram import latent_histogram
from sundog.risk.vae import VAE


def ready(**options):
    estimator = HistogramVAE(latent_dim=3, **options)
    estimator.build(features=4, classes=2, image_size=(8, 8))
    estimator.refill(torch.randn(20, 3, generator=generator(0)))
    estimator.end_fit(None)
    return estimator


def passed(features=4, size=8, images=True):
    shown = torch.rand(2, 3, size, size) if images else None
    return Passed(torch.zeros(2, features), torch.zeros(2, 2), images=shown)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_bins": 1}, "num_bins must be >= 2"),
        ({"queue_size": 1}, "queue_size"),
        ({"latent_dim": 0}, "latent_dim"),
        ({"kl_weight": -1}, "kl_weight"),
        ({"kl_weight": float("nan")}, "kl_weight"),
        ({"error": "l1"}, "absolute"),
        ({"target_class": -1}, "target_class"),
        ({"smoothing": 0}, "smoothing"),
        ({"filters": 0}, "filters"),
        ({"decoder": "FancyDecoder"}, "not stored: give it again"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        HistogramVAE(**options)


class Broken(nn.Module):
    def forward(self, latent):
        raise RuntimeError("no such thing")


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (FaceDecoder(3), r"\[2, 3, 64, 64\]. .*Leave decoder out"),
        (FaceDecoder(5), "does not run.*change latent_dim"),
        (Broken(), "does not run: no such thing"),
        (nn.Sequential(nn.Linear(3, 192), nn.Unflatten(1, (3, 8, 8))), "End it with a sigmoid"),
        (nn.Linear(3, 7), r"an output of \[2, 7\]"),
    ],
)
def test_a_decoder_of_the_wrong_shape(decoder, message):
    with pytest.raises(InputError, match=message):
        VAE(latent_dim=3, decoder=decoder).build(features=4, classes=2, image_size=(8, 8))


def test_a_decoder_of_ones_own_is_copied_and_its_mode_kept():
    mine = nn.Sequential(nn.Linear(3, 192), nn.Dropout(), nn.Sigmoid(), nn.Unflatten(1, (3, 8, 8)))
    mine[1].eval()
    before = mine[0].weight.clone()
    estimator = VAE(latent_dim=3, decoder=mine)
    parts = estimator.build(features=4, classes=2, image_size=(8, 8))
    with torch.no_grad():
        for parameter in parts.parameters():
            parameter.zero_()
    assert torch.equal(mine[0].weight, before)
    assert mine.training
    assert not mine[1].training
    with pytest.raises(InputError, match="2 pixels a side"):
        derive_decoder(3, (1, 8))


def test_the_face_decoder_is_for_64_pixels():
    VAE(decoder="face").build(features=4, classes=2, image_size=(64, 64))
    with pytest.raises(InputError, match="32, 32"):
        VAE(decoder="face").build(features=4, classes=2, image_size=(32, 32))


def test_a_queue_larger_than_the_data_and_a_class_without_images():
    labels = torch.tensor([0, 1, 1, 0, 0, -1])
    HistogramVAE(queue_size=6).check_labels(labels)
    HistogramVAE(queue_size=3, target_class=0).check_labels(labels)
    with pytest.raises(InputError, match="at most 6, the number of training images; got 7"):
        HistogramVAE(queue_size=7).check_labels(labels)
    with pytest.raises(InputError, match=r"at most 2, .* class 1; got 3"):
        HistogramVAE(queue_size=3, target_class=1).check_labels(labels)
    with pytest.raises(InputError, match="0 images of class 7"):
        HistogramVAE(target_class=7).check_labels(labels)
    estimator = HistogramVAE(latent_dim=3, queue_size=7)
    estimator.build(features=4, classes=2, image_size=(8, 8))
    table = table_from_arrays(np.zeros((6, 4)), np.zeros((6, 2)), labels.numpy())
    with pytest.raises(InputError, match="queue_size"):
        estimator.end_fit(table)
    with pytest.raises(InputError, match=r"a class in 0..1; got 2"):
        HistogramVAE(target_class=2).build(features=4, classes=2, image_size=(8, 8))


def test_scoring_what_does_not_fit():
    estimator = ready()
    with pytest.raises(InputError, match="features and logits alone"):
        estimator.score(passed(images=False))
    with pytest.raises(InputError, match=r"\[batch, 4\], as in the fit; got \[2, 5\]"):
        estimator.score(passed(features=5))
    with pytest.raises(InputError, match="8 x 8 px, as in the fit; got 9 x 9"):
        estimator.score(passed(size=9))
    bad = passed()
    bad.features[1, 2] = float("nan")
    with pytest.raises(InputError, match="NaN or infinity"):
        estimator.score(bad)
    with pytest.raises(InputError, match=r"\[batch, 3\]"):
        estimator.decode(torch.zeros(2, 4))


def test_not_fitted_or_in_train_mode():
    estimator = HistogramVAE(latent_dim=3)
    for call in (
        lambda: estimator.score(passed()),
        estimator.tensors,
        lambda: estimator.latents(torch.zeros(2, 4)),
        lambda: estimator.end_fit(None),
    ):
        with pytest.raises(ModelStateError, match=r"fit\(training_images\) first"):
            call()
    parts = estimator.build(features=4, classes=2, image_size=(8, 8))
    with pytest.raises(ModelStateError, match="at least two images"):
        estimator.end_fit(None)
    assert not estimator.fitted
    parts.train()
    with pytest.raises(ModelStateError, match="eval mode"):
        estimator.latents(torch.zeros(2, 4))


def test_stored_tensors_of_something_else():
    tensors = ready().tensors()
    with pytest.raises(CheckpointError, match="4 latents"):
        HistogramVAE(latent_dim=4).load_tensors(tensors)
    with pytest.raises(CheckpointError, match="queue"):
        HistogramVAE(latent_dim=3).load_tensors({k: v for k, v in tensors.items() if k != "queue"})
    with pytest.raises(CheckpointError, match="queue"):
        HistogramVAE(latent_dim=3, queue_size=5).load_tensors(tensors)
    with pytest.raises(CheckpointError, match="size mismatch for decoder"):
        HistogramVAE(latent_dim=3, filters=7).load_tensors(tensors)
    lost = {k: v for k, v in tensors.items() if "decoder.linear" not in k}
    other = HistogramVAE(latent_dim=3)
    with pytest.raises(CheckpointError, match=r"Missing key.*decoder\.linear"):
        other.load_tensors(lost)
    assert not other.fitted


def test_rows_of_a_queue():
    queue = FeatureQueue(4, 2)
    with pytest.raises(InputError, match="finite"):
        queue.push(torch.tensor([[1.0, float("inf")]]))
    with pytest.raises(InputError, match=r"\[rows, 2\]; got \[1, 3\]"):
        queue.push(torch.zeros(1, 3))
    with pytest.raises(InputError, match="at least one row"):
        queue.refill(torch.zeros(0, 2))
    with pytest.raises(InputError, match="queue_size"):
        FeatureQueue(0, 2)
    assert len(queue) == 0


def test_histograms_of_nothing():
    with pytest.raises(ModelStateError, match="two images"):
        latent_histogram(torch.zeros(1, 2))
    with pytest.raises(InputError, match="finite"):
        latent_histogram(torch.full((3, 2), float("nan")))
    with pytest.raises(InputError, match="num_bins"):
        latent_histogram(torch.zeros(3, 2), bins=0)
    with pytest.raises(InputError, match="smoothing"):
        latent_histogram(torch.zeros(3, 2), smoothing=0)
    made = latent_histogram(torch.arange(6.0)[:, None])
    assert bool(made.log_shares(torch.tensor([[float("nan")]])).isnan().all())
