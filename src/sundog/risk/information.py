"""Splitting the uncertainty of sampled predictions into noise and disagreement, in nats."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Scores

SUM_TOLERANCE = 1e-4
"""How far the probabilities of one sample may sum from 1."""


@dataclass(frozen=True, eq=False)
class InformationSplit:
    """Uncertainty of each image: ``total = aleatoric + epistemic``, in nats.

    Attributes:
        probabilities: ``float64[batch, classes]``, the mean over the samples.
        total: entropy of the mean, in [0, log classes]; higher is riskier.
        aleatoric: mean entropy of the samples: what no sample is sure of.
        epistemic: mutual information of class and sample, in [0, log min(classes, samples)]: what
            the samples disagree on. Exactly 0 for one sample.
    """

    probabilities: Float[Tensor, "batch classes"]
    total: Scores
    aleatoric: Scores
    epistemic: Scores


def in_double(values: Tensor) -> Tensor:
    """Return the values in float64, on the CPU where their device has none (MPS)."""
    return values.to("cpu" if values.device.type == "mps" else values.device, torch.float64)


def entropy(probabilities: Float[Tensor, "*batch classes"]) -> Float[Tensor, "*batch"]:
    """Return ``-sum_k p_k log p_k`` over the last axis, in nats; 0 log 0 = 0, NaN stays NaN."""
    return torch.special.entr(probabilities).sum(dim=-1)


def split_information(probabilities: Float[Tensor, "samples batch classes"]) -> InformationSplit:
    """Return the entropy of the mean, the mean entropy and their difference.

    ``TU = H(mean_s p_s)``, ``AU = mean_s H(p_s)``, ``EU = TU - AU >= 0`` (Jensen); a negative
    difference is rounding and becomes 0. Computed in float64.

    Args:
        probabilities: class probabilities of each sample (pass, member or posterior draw); rows
            sum to 1. An image with a NaN gets NaN.

    Raises:
        InputError: other shapes, no sample, values outside [0, 1] or rows that do not sum to 1.

    Source:
        Depeweg, Hernandez-Lobato, Doshi-Velez & Udluft, 2018, arXiv 1710.07283; Houlsby et al.,
        2011, arXiv 1112.5745.
    """
    if probabilities.ndim != 3 or 0 in (probabilities.shape[0], probabilities.shape[2]):
        raise InputError(
            "probabilities",
            expected="[samples, batch, classes] with a sample and a class",
            got=str(tuple(probabilities.shape)),
        )
    running = RunningSplit()
    running.add(probabilities)
    return running.split()


class RunningSplit:
    """The same split from samples that come in portions; holds two rows per image."""

    def __init__(self) -> None:
        self._count = 0
        self._probabilities: Tensor | None = None
        self._entropy: Tensor | None = None

    def add(self, probabilities: Float[Tensor, "samples batch classes"]) -> None:
        """Take some samples of every image.

        Raises:
            InputError: another number of images or classes than before, or no probabilities.
        """
        samples = in_double(probabilities)
        _check(samples, like=self._probabilities)
        summed, entropies = samples.sum(dim=0), entropy(samples).sum(dim=0)
        if self._probabilities is not None and self._entropy is not None:
            summed, entropies = self._probabilities + summed, self._entropy + entropies
        self._probabilities, self._entropy = summed, entropies
        self._count += len(samples)

    def split(self) -> InformationSplit:
        """Return the split over the samples so far.

        Raises:
            InputError: no sample yet.
        """
        if self._probabilities is None or self._entropy is None or not self._count:
            raise InputError("samples", expected="at least one", got="none")
        mean = self._probabilities / self._count
        total, aleatoric = entropy(mean), self._entropy / self._count
        return InformationSplit(
            probabilities=mean,
            total=total,
            aleatoric=aleatoric,
            epistemic=(total - aleatoric).clamp_min(0),
        )


def _check(samples: Tensor, *, like: Tensor | None) -> None:
    if samples.ndim != 3 or (like is not None and samples.shape[1:] != like.shape):
        raise InputError(
            "Samples",
            expected="[samples, batch, classes]"
            + ("" if like is None else f" {tuple(like.shape)}"),
            got=str(tuple(samples.shape)),
        )
    known = samples[~torch.isnan(samples).any(dim=2)]
    if not len(known):
        return
    low, high = float(known.min()), float(known.max())
    off = float((known.sum(dim=1) - 1).abs().max())
    if low < 0 or high > 1 + SUM_TOLERANCE or off > SUM_TOLERANCE:
        raise InputError(
            "Samples",
            expected="class probabilities: in [0, 1], rows that sum to 1",
            got=f"values in [{low:.4g}, {high:.4g}], sums off by up to {off:.2g}",
            hint="Apply softmax to the logits first.",
        )
