"""The Laplace posterior of a linear softmax layer: full for small layers, in factors for large."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from sundog.core.errors import InputError

ROWS = 1024
"""Training images whose curvature is summed at a time."""
BLOCK = 1 << 22
"""Most numbers held for the covariances of a batch: 32 MiB."""
GRID = np.linspace(-6.0, 8.0, 57)
"""Powers of ten among which the prior precision is sought first."""
MOST = 16_384
"""Features or classes beyond which a factor alone takes over 2 GiB."""


@dataclass(frozen=True, eq=False)
class FullCurvature:
    """The generalised Gauss-Newton matrix ``H = sum_n L_n x phi_n phi_n^T``, as eigenpairs.

    ``L_n = diag(p_n) - p_n p_n^T`` over the free classes, phi the features and a 1.

    Attributes:
        values: ``[classes * (features + 1)]``, eigenvalues >= 0.
        vectors: their eigenvectors in the columns, class by class.
        classes: free classes.
    """

    values: Float64[Tensor, "weights"]
    vectors: Float64[Tensor, "weights weights"]
    classes: int

    def eigenvalues(self) -> NDArray[np.float64]:
        """Return the eigenvalues of H."""
        return self.values.numpy()

    def posterior(self, precision: float) -> FullPosterior:
        """Return the posterior ``N(weights, (H + precision I)^-1)``."""
        covariance = (self.vectors / (self.values + precision)) @ self.vectors.T
        size = len(self.values) // self.classes
        return FullPosterior(covariance.reshape(self.classes, size, self.classes, size))


@dataclass(frozen=True, eq=False)
class FullSpread:
    """Square roots ``[batch, classes, classes]`` of each image's covariance of logits."""

    roots: Tensor

    def variances(self) -> Float64[Tensor, "batch classes"]:
        """Return the variance of each logit."""
        return self.roots.square().sum(dim=2)

    def noise(
        self, normals: Float64[Tensor, "samples classes"]
    ) -> Float64[Tensor, "samples batch classes"]:
        """Return normal points with the covariance of each image."""
        return torch.einsum("bij,sj->sbi", self.roots, normals)


@dataclass(frozen=True, eq=False)
class FactoredSpread:
    """Standard deviations ``[batch, classes]`` along eigenvectors that all images share."""

    deviations: Tensor
    vectors: Tensor

    def variances(self) -> Float64[Tensor, "batch classes"]:
        """Return the variance of each logit."""
        return self.deviations.square() @ self.vectors.double().square().T

    def noise(
        self, normals: Float64[Tensor, "samples classes"]
    ) -> Float64[Tensor, "samples batch classes"]:
        """Return normal points with the covariance of each image; rotated in float32."""
        scaled = (normals[:, None] * self.deviations).to(self.vectors)
        return (scaled @ self.vectors.T).double()


Spread = FullSpread | FactoredSpread


@dataclass(frozen=True, eq=False)
class FullPosterior:
    """Covariance of the weights, ``[classes, features + 1, classes, features + 1]``."""

    covariance: Tensor

    @property
    def classes(self) -> int:
        """Free classes."""
        return int(self.covariance.shape[0])

    @property
    def inputs(self) -> int:
        """Features and the constant 1."""
        return int(self.covariance.shape[1])

    def spread(self, inputs: Float64[Tensor, "batch inputs"]) -> Spread:
        """Return each image's covariance of logits by its symmetric square root.

        The covariance is ``C_ij = phi^T V_ij phi``; what all logits share is taken out, since
        probabilities do not see it (with one free class there is nothing to share).
        """
        count = self.classes
        rows = max(1, BLOCK // (count * count * self.inputs))
        parts = []
        for block in torch.split(inputs, rows):
            half = torch.einsum("bp,ipjq->bijq", block, self.covariance)
            found = torch.einsum("bijq,bq->bij", half, block)
            found = (found + found.transpose(1, 2)) / 2
            if count > 1:
                found = found - found.mean(dim=1, keepdim=True)
                found = found - found.mean(dim=2, keepdim=True)
            values, vectors = torch.linalg.eigh(found)
            scaled = vectors * values.clamp_min(0).sqrt()[:, None]
            parts.append(scaled @ vectors.transpose(1, 2))
        return FullSpread(torch.cat(parts))

    def tensors(self) -> dict[str, Tensor]:
        """Return the covariance."""
        return {"covariance": self.covariance}


@dataclass(frozen=True, eq=False)
class FactoredCurvature:
    """``H`` in two factors, ``(mean_n L_n) x (sum_n phi_n phi_n^T)``, as eigenpairs of each."""

    class_values: Float64[Tensor, "classes"]
    class_vectors: Float64[Tensor, "classes classes"]
    input_values: Float64[Tensor, "inputs"]
    input_vectors: Float64[Tensor, "inputs inputs"]

    def eigenvalues(self) -> NDArray[np.float64]:
        """Return the eigenvalues of the product: all products of two."""
        return torch.outer(self.class_values, self.input_values).flatten().numpy()

    def posterior(self, precision: float) -> FactoredPosterior:
        """Return the posterior in factors; nothing of the size of H is made."""
        variance = 1 / (torch.outer(self.input_values, self.class_values) + precision)
        if len(self.class_values) > 1:
            variance[:, -1] = 0  # what all logits share: probabilities do not see it
        return FactoredPosterior(variance, self.input_vectors.float(), self.class_vectors.float())


@dataclass(frozen=True, eq=False)
class FactoredPosterior:
    """Variances ``[features + 1, classes]`` along the products of two sets of eigenvectors."""

    variance: Tensor
    input_vectors: Tensor
    class_vectors: Tensor

    @property
    def classes(self) -> int:
        """Free classes."""
        return int(self.variance.shape[1])

    @property
    def inputs(self) -> int:
        """Features and the constant 1."""
        return int(self.variance.shape[0])

    def spread(self, inputs: Float64[Tensor, "batch inputs"]) -> Spread:
        """Return each image's covariance of logits, ``U diag(v) U^T``.

        ``v_j = sum_i (q_i . phi)^2 variance_ij``, q the eigenvectors of the inputs and U those of
        the classes. The rotation is in float32: v is a sum of squares, nothing cancels.
        """
        squares = (inputs.to(self.input_vectors) @ self.input_vectors).double().square()
        return FactoredSpread((squares @ self.variance).sqrt(), self.class_vectors)

    def tensors(self) -> dict[str, Tensor]:
        """Return the factors."""
        return {
            "variance": self.variance,
            "input_vectors": self.input_vectors,
            "class_vectors": self.class_vectors,
        }


Curvature = FullCurvature | FactoredCurvature
Posterior = FullPosterior | FactoredPosterior


def with_constant(features: Tensor) -> Float64[Tensor, "batch inputs"]:
    """Return the features in float64 with a column of ones for the bias."""
    rows = features.detach().cpu().double()
    return torch.cat([rows, torch.ones((len(rows), 1), dtype=torch.float64)], dim=1)


def sum_curvature(
    features: Tensor,
    probabilities: Float64[Tensor, "images classes"],
    *,
    most_weights: int,
) -> Curvature:
    """Return the curvature of the negative log-likelihood in the weights of the layer.

    The Jacobian of the logits is ``I x phi^T`` and is never made. Up to ``most_weights`` weights H
    is exact; beyond, it is approximated by the product of two sums (Kronecker factors), in memory
    for features^2 + classes^2.

    Args:
        features: ``float[images, features]``, the layer's inputs.
        probabilities: of the free classes.
        most_weights: largest classes * (features + 1) for which H is made.

    Raises:
        InputError: more features or classes than can be held.

    Source:
        Daxberger et al., 2021, arXiv 2106.14806; Ritter, Botev & Barber, 2018 (ICLR).
    """
    classes, inputs = probabilities.shape[1], features.shape[1] + 1
    if max(inputs, classes) > MOST:
        raise InputError(
            "Features and classes",
            expected=f"fewer than {MOST}",
            got=f"{inputs - 1} features and {classes} classes",
            hint="Use 'mc_dropout' with rate=0.2, or an ensemble.",
        )
    if classes * inputs <= most_weights:
        return _full(features, probabilities)
    outer = torch.zeros((inputs, inputs), dtype=torch.float64)
    spread = torch.diag(probabilities.sum(dim=0)) - probabilities.T @ probabilities
    for rows, _ in _blocks(features, probabilities):
        outer += rows.T @ rows
    spread = spread / len(probabilities)
    if classes > 1:
        # Its null space holds the shift of all logits, and classes that are never predicted: the
        # shift is raised above all else, so that it is the last eigenvector, and then put back.
        spread = spread + (1 + spread.trace()) / classes
    class_values, class_vectors = _eigh(spread)
    if classes > 1:
        class_values[-1] = 0
    input_values, input_vectors = _eigh(outer)
    return FactoredCurvature(class_values, class_vectors, input_values, input_vectors)


def _full(features: Tensor, probabilities: Tensor) -> FullCurvature:
    classes, inputs = probabilities.shape[1], features.shape[1] + 1
    total = torch.zeros((classes, inputs, classes, inputs), dtype=torch.float64)
    places = torch.arange(classes)
    for rows, chances in _blocks(features, probabilities):
        weighted = chances[:, :, None] * rows[:, None, :]
        total[places, :, places] += torch.einsum("nip,nq->ipq", weighted, rows)
        flat = weighted.flatten(1)
        total -= (flat.T @ flat).reshape(total.shape)
    values, vectors = _eigh(total.reshape(classes * inputs, classes * inputs))
    return FullCurvature(values, vectors, classes)


def _blocks(features: Tensor, probabilities: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(features), ROWS):
        part = slice(start, start + ROWS)
        yield with_constant(features[part]), probabilities[part]


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues, negative ones (rounding) as 0, and eigenvectors of a symmetric matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    return values.clamp_min(0), vectors


def log_evidence_of_prior(
    eigenvalues: NDArray[np.float64], square: float
) -> Callable[[float], float]:
    """Return the part of the log evidence that depends on the prior precision t, as a function.

    ``-t |w|^2 / 2 - sum_i log(1 + h_i / t) / 2``, h the eigenvalues of H; the log-likelihood at
    the weights adds a constant.

    Args:
        eigenvalues: of H, >= 0.
        square: sum of the squared weights and biases.

    Source:
        MacKay, 1992, Neural Computation 4, "The evidence framework applied to classification
        networks"; Immer et al., 2021, arXiv 2104.04975.
    """
    positive = eigenvalues[eigenvalues > 0]

    def evidence(precision: float) -> float:
        return -0.5 * (precision * square + float(np.log1p(positive / precision).sum()))

    return evidence


def best_precision(eigenvalues: NDArray[np.float64], square: float) -> float:
    """Return the prior precision of the largest evidence, sought from 10^-6 to 10^8.

    At an optimum inside, ``t |w|^2 = sum_i h_i / (h_i + t)``: the number of weights that the
    images determine.

    Args:
        eigenvalues: of H, >= 0.
        square: sum of the squared weights and biases.
    """
    evidence = log_evidence_of_prior(eigenvalues, square)
    heights = [evidence(10.0**power) for power in GRID]
    place = int(np.argmax(heights))
    low, high = GRID[max(place - 1, 0)], GRID[min(place + 1, len(GRID) - 1)]
    found = minimize_scalar(
        lambda power: -evidence(10.0**power),
        bounds=(float(low), float(high)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    best = float(found.x) if -float(found.fun) >= heights[place] else float(GRID[place])
    return 10.0**best


def posterior_from_tensors(tensors: Mapping[str, Tensor]) -> Posterior:
    """Return the posterior that ``tensors()`` was taken from."""
    if "covariance" in tensors:
        return FullPosterior(tensors["covariance"])
    return FactoredPosterior(
        tensors["variance"], tensors["input_vectors"], tensors["class_vectors"]
    )
