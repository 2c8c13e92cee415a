"""How common an image is among the training images: histograms of a VAE's latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sundog.core.errors import CheckpointError, InputError
from sundog.core.shapes import Labels, Scores
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head
from sundog.risk.estimator import Passed
from sundog.risk.feature_queue import FeatureQueue
from sundog.risk.latent_histogram import LatentHistogram, latent_histogram
from sundog.risk.output import Field
from sundog.risk.vae import VAE
from sundog.risk.vae_network import ErrorKind

QUEUE_SIZE = 20_000
"""Latents kept at most when no size is given, the seed's number."""


class HistogramVAE(VAE):
    """Representation by histograms of the latents, and risk by reconstruction.

    The VAE term ``1[y = target_class] (kl_weight * KL + error)`` is that of
    :class:`sundog.risk.vae.VAE`, on the class it debiases alone. A queue keeps the latent means mu
    of the last images of that class; :meth:`end_fit` refills it by the final network, so that old
    weights leave no trace. Then, for the K latents that vary (variance of mu >= 0.01),

    ``representation = sum_k log p_k(mu_k)``,
    ``p_k = (images of the queue in the same bin + a) / (images in the queue + a (bins + 2))``,

    with bins of equal width from the smallest to the largest mu_k of the queue and one open, empty
    bin on either side. In log space throughout: a product of 32 probabilities would be about
    1e-16. High = common. ``epistemic`` is the reconstruction error from mu; high = risky.

    Latents are treated as independent. Nothing makes them so, and a mixture of groups is not
    their product: an estimate for ranking, of which nearest neighbours and Gaussian mixtures make
    better ones. Images of other classes get the scores that they would have as images of
    ``target_class``.

    Args:
        num_bins: per latent, >= 2. The seed has 5; 10 rank a known Gaussian better.
        queue_size: latents kept, >= 2; more than there are images of the class is refused. None:
            as many as there are, at most 20,000.
        latent_dim: length of the latent vector.
        decoder: see :class:`sundog.risk.vae.VAE`.
        target_class: the class whose images are rebuilt and counted; None for all images.
        filters: channels of the largest maps of a derived decoder.
        kl_weight: >= 0; 0.0005 in the lab.
        error: ``absolute`` (the lab's) or ``squared``.
        smoothing: images added to each bin, > 0.

    Raises:
        InputError: an argument out of range; a queue larger than the data; no image of the class.

    Source:
        Amini, Soleimany, Schwarting, Bhatia & Rus, 2019, AIES, "Uncovering and Mitigating
        Algorithmic Bias through Learned Latent Structure"; Lolla et al., 2023, arXiv 2308.00231
        (re-implemented from the formulas).
    """

    name: ClassVar[str] = "histogram_vae"
    gives: ClassVar[tuple[Field, ...]] = ("representation", "epistemic")

    def __init__(
        self,
        *,
        num_bins: int = 5,
        queue_size: int | None = None,
        latent_dim: int = 32,
        decoder: nn.Module | Literal["face"] | None = None,
        target_class: int | None = None,
        filters: int = 12,
        kl_weight: float = 0.0005,
        error: ErrorKind = "absolute",
        smoothing: float = 1.0,
    ) -> None:
        super().__init__(
            latent_dim=latent_dim,
            decoder=decoder,
            filters=filters,
            kl_weight=kl_weight,
            error=error,
        )
        if num_bins < 2:
            raise InputError("num_bins", expected=">= 2", got=str(num_bins))
        if queue_size is not None and queue_size < 2:
            raise InputError("queue_size", expected=">= 2 or None", got=str(queue_size))
        if target_class is not None and target_class < 0:
            raise InputError("target_class", expected=">= 0 or None", got=str(target_class))
        if not 0 < smoothing < float("inf"):
            raise InputError("smoothing", expected="> 0", got=str(smoothing))
        self.num_bins = num_bins
        self.queue_size = queue_size
        self.target_class = target_class
        self.smoothing = smoothing
        self.needs_labels = target_class is not None  # type: ignore[misc]
        self._queue = FeatureQueue(queue_size or QUEUE_SIZE, latent_dim)
        self._histogram: LatentHistogram | None = None
        self._seed = 0

    @property
    def queue(self) -> FeatureQueue:
        """The latents that are kept; ``len(queue)`` says how many."""
        return self._queue

    @property
    def active_latents(self) -> Int64[Tensor, "active"]:
        """Which latents vary over the queue; the others say nothing about an image."""
        return self._counted().active.nonzero()[:, 0]

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "num_bins": self.num_bins,
            "queue_size": self.queue_size,
            **super().settings(),
            "target_class": self.target_class,
            "smoothing": self.smoothing,
        }

    def check_labels(self, labels: Labels) -> None:
        """Refuse training images that the queue or the target class does not fit.

        Args:
            labels: of all training images, -1 = unlabelled. Called before training, so that a
                wrong size is not found out after it.

        Raises:
            InputError: fewer images than ``queue_size``, or none of the target class.
        """
        count = int(self.concerned(labels).sum())
        whose = "images" if self.target_class is None else f"images of class {self.target_class}"
        if count < 2:
            raise InputError(
                "target_class",
                expected="a class with at least two training images",
                got=f"{count} {whose}",
                hint="Give the number of another class, or None for all images.",
            )
        if self.queue_size is not None and self.queue_size > count:
            raise InputError(
                "queue_size",
                expected=f"at most {count}, the number of training {whose}",
                got=str(self.queue_size),
                hint="Leave it out: the queue then takes as many as there are (at most 20,000).",
            )

    def build(
        self,
        *,
        features: int,
        classes: int,
        image_size: tuple[int, int],
        head: Head | None = None,
        seed: int = 0,
    ) -> nn.Module:
        """Make heads, decoder and an empty queue.

        Raises:
            InputError: a decoder of another shape, or no such class.
        """
        if self.target_class is not None and classes and self.target_class >= classes:
            raise InputError(
                "target_class",
                expected=f"a class in 0..{classes - 1}",
                got=str(self.target_class),
            )
        network = super().build(
            features=features, classes=classes, image_size=image_size, head=head, seed=seed
        )
        self._queue = FeatureQueue(self._queue.size, self.latent_dim)
        self._histogram = None
        self._seed = seed
        return network

    def concerned(self, labels: Labels) -> Tensor:
        """Return which images the VAE is trained on, ``bool[batch]``: those of the class."""
        if self.target_class is None:
            return super().concerned(labels)
        return labels == self.target_class

    @torch.no_grad()
    def after_step(self, passed: Passed, labels: Labels) -> None:
        """Put the latents of the class's images into the queue."""
        features = passed.features[self.concerned(labels)]
        if len(features):
            self.push(self._built().encode(features.float())[0])

    def push(self, mu: Float[Tensor, "batch latent"]) -> None:
        """Add latents to the queue; the oldest leave."""
        self._queue.push(mu.detach().cpu())
        self._histogram = None

    def refill(self, mu: Float[Tensor, "images latent"]) -> None:
        """Replace the queue by the latents of all images of the class.

        Args:
            mu: of the images of the class alone. Of more than the queue holds, some are drawn.
        """
        self._queue.refill(mu.detach().cpu(), seed=self._seed)
        self._histogram = None

    def end_fit(self, table: FeatureTable | None) -> None:
        """Refill the queue with the latents that the final network gives the training images.

        Args:
            table: of the training images by the final classifier; None keeps what was pushed.

        Raises:
            InputError: fewer images than ``queue_size``, or none of the target class.
        """
        network = self._built().eval()
        if table is not None:
            self.check_labels(table.labels)
            features = table.features[self.concerned(table.labels)]
            self.refill(self.latents(features.to(network.mu.weight.device)))
        self._counted()
        super().end_fit(table)

    @torch.no_grad()
    def score(self, passed: Passed) -> dict[Field, Scores]:
        """Return the log-density of mu and the reconstruction error from mu."""
        mu = self.latents(passed.features)
        found = self.log_density(mu).to(passed.logits.device, torch.float32)
        return {"representation": found, **super().score(passed)}

    def log_density(
        self, mu: Float[Tensor, "batch latent"], *, per_dimension: bool = False
    ) -> Float[Tensor, "batch"] | Float[Tensor, "batch latent"]:
        """Return ``sum_k log p_k(mu_k)``, or its terms, as ``float64`` on the CPU; high = common.

        Args:
            mu: latents.
            per_dimension: keep one column per latent (0 where a latent does not vary), for rules
                that take the largest inverse density.
        """
        logs = self._counted().log_shares(mu)
        return logs if per_dimension else logs.sum(dim=1)

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights, the image size and the rows of the queue."""
        return {**super().tensors(), "queue": self._queue.rows().contiguous().clone()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned.

        Raises:
            CheckpointError: tensors of another method or architecture.
        """
        rows = tensors.get("queue")
        if rows is None or rows.ndim != 2 or not 2 <= len(rows) <= self._queue.size:
            raise CheckpointError(
                f"Tensors of {self.name!r}",
                expected=f"with a queue of 2 to {self._queue.size} rows",
                got="none" if rows is None else str(list(rows.shape)),
                hint="Load with the settings it was fitted with.",
            )
        super().load_tensors({k: v for k, v in tensors.items() if k != "queue"})
        self._queue.refill(rows)
        self._histogram = None

    def _counted(self) -> LatentHistogram:
        if self._histogram is None:
            self._histogram = latent_histogram(
                self._queue.rows(), bins=self.num_bins, smoothing=self.smoothing
            )
        return self._histogram
