"""Training a classifier and a histogram VAE together, the lab's debiasing autoencoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from sundog.core.errors import ModelStateError
from sundog.core.seeds import generator
from sundog.core.shapes import Images, Logits
from sundog.models.classifier import Classifier
from sundog.models.feature_table import forward_features
from sundog.models.prepared import PreparedImages
from sundog.models.store import plain_state
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import Step, TrainingRecipe
from sundog.risk.estimator import Passed
from sundog.risk.histogram_vae import HistogramVAE


class HistogramVAETraining(TrainingRecipe):
    """Cross-entropy of all images, and a VAE of one class's images on the same features.

    ``mean_i [ CE(y_i, f(x_i)) + 1[y_i = target_class] (kl_weight * KL_i + error_i) ]``: every
    image teaches the classifier, the class alone teaches the VAE. One backbone pass gives both.
    The classifier keeps its own head and weights.

    At the start of each epoch the latents of all training images of the class are computed anew
    (classifier in eval mode, images not augmented, without a cue that the run itself plants), and
    their histograms: :meth:`log_density` is what adaptive resampling asks for.

    Args:
        estimator: not fitted yet; :meth:`fitted` returns it when the training is over.
        batch_size: images per pass when latents are computed; the result does not depend on it.

    Raises:
        InputError: (when the training begins) a queue larger than the class, no image of the
            class, a decoder of another shape.

    Source:
        Amini, Soleimany, Schwarting, Bhatia & Rus, 2019, AIES, "Uncovering and Mitigating
        Algorithmic Bias through Learned Latent Structure"; MIT 6.S191, the face lab of 2023.
    """

    name = "histogram_vae"

    def __init__(self, estimator: HistogramVAE, *, batch_size: int = 64) -> None:
        self.estimator = estimator
        self.batch_size = batch_size
        self._module: nn.Module | None = None
        self._classifier: Classifier | None = None
        self._images: PreparedImages | None = None
        self._logs: Float64[np.ndarray, "images latent"] | None = None
        self._sums = {"images": 0, "cross_entropy": 0.0, "vae": 0.0}

    def describe(self) -> dict[str, Any]:
        """Return name, the estimator's settings and the content of a decoder of your own."""
        about = {"name": self.name, **self.estimator.settings()}
        if isinstance(self.estimator.decoder, nn.Module):
            content = save(plain_state(self.estimator.decoder))
            about["decoder_content"] = hashlib.blake2b(content, digest_size=8).hexdigest()
        return about

    def module(self) -> nn.Module | None:
        """Return the VAE; it is built when the training begins."""
        return self._module

    def begin(
        self, classifier: Classifier, images: PreparedImages, options: TrainingOptions
    ) -> None:
        """Build the VAE for this classifier and these images."""
        self.estimator.check_labels(torch.from_numpy(images.image_set.labels))
        probe = next(images.batches(batch_size=2)).images.to(classifier.device)
        with torch.no_grad():
            features, logits = forward_features(classifier, probe)
        self._module = self.estimator.build(
            features=features.shape[1],
            classes=logits.shape[1],
            image_size=images.image_size,
            seed=options.seed,
        )
        self._classifier, self._images, self._logs = classifier, images, None

    def begin_epoch(self, epoch: int) -> None:
        """Compute the latents of the class's images and the histograms of this epoch."""
        self._sums = {"images": 0, "cross_entropy": 0.0, "vae": 0.0}
        self._refresh()

    def loss(self, network: Callable[[Images], Logits], step: Step) -> Tensor:
        """Return the mean cross-entropy plus the VAE term."""
        classifier, _ = self._begun()
        features, logits = forward_features(classifier, step.images, network=network)
        passed = Passed(features=features, logits=logits, images=step.images)
        cross_entropy = F.cross_entropy(logits, step.labels)
        term = self.estimator.loss(passed, step.labels, generator(step.seed, "vae"))
        self._sums["images"] += len(step)
        self._sums["cross_entropy"] += float(cross_entropy.detach()) * len(step)
        self._sums["vae"] += float(term.detach()) * len(step)
        return cross_entropy + term

    def log_density(self) -> Float64[np.ndarray, "images latent"]:
        """Return ``log p_k(mu_k)`` of every training image and active latent, in this epoch.

        Returns:
            One row per position of the training set; high = common. Images of other classes have
            zeros: no density is known that tells them apart, so a weighting by class draws them
            alike. Images that cannot be decoded have NaN. Latents that do not vary are left out;
            if none varies (before the first epoch, say), there is one column of zeros.

        Raises:
            ModelStateError: the training has not begun.
        """
        return (self._refresh() if self._logs is None else self._logs).copy()

    def fitted(self) -> HistogramVAE:
        """Return the estimator with the queue of the final weights; for after the training.

        Raises:
            ModelStateError: the training has not begun in this process. A finished run that was
                only loaded has no VAE any more.
        """
        self._refresh()
        self.estimator.end_fit(None)
        return self.estimator

    def notes(self) -> dict[str, Any]:
        """Return the two parts of the epoch's loss, the filled queue and the active latents."""
        count = max(1, int(self._sums["images"]))
        return {
            "cross_entropy": self._sums["cross_entropy"] / count,
            "vae": self._sums["vae"] / count,
            "queue": len(self.estimator.queue),
            "active_latents": len(self.estimator.active_latents),
        }

    def _begun(self) -> tuple[Classifier, PreparedImages]:
        if self._classifier is None or self._images is None:
            raise ModelStateError(
                "The training",
                expected="begun in this process",
                got="a recipe that has not been used",
                hint="Pass it to train_classifier(..., recipe=...), with resume=False if the run "
                "is finished.",
            )
        return self._classifier, self._images

    @torch.no_grad()
    def _refresh(self) -> Float64[np.ndarray, "images latent"]:
        """Recompute latents, queue and log-densities with the weights of now."""
        classifier, images = self._begun()
        classifier.require_eval()
        labels = torch.from_numpy(images.image_set.labels)
        places = self.estimator.concerned(labels).nonzero()[:, 0]
        found: list[Tensor] = []
        mu: list[Tensor] = []
        for batch in images.batches(places, batch_size=self.batch_size):
            features, _ = forward_features(classifier, batch.images.to(classifier.device))
            mu.append(self.estimator.latents(features).cpu())
            found.append(batch.indices)
        rows, latents = torch.cat(found), torch.cat(mu)
        self.estimator.refill(latents)
        logs = self.estimator.log_density(latents, per_dimension=True)
        active = self.estimator.active_latents
        logs = logs[:, active] if len(active) else logs[:, :1]
        made = np.zeros((len(labels), logs.shape[1]))
        made[places.numpy()] = np.nan
        made[rows.numpy()] = logs.numpy()
        self._logs = made
        return made
