"""The trained parts of a variational autoencoder on features, and the terms of its loss."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sundog.core.shapes import Images, Scores
from sundog.risk.feature_scale import FeatureScale

ErrorKind = Literal["absolute", "squared"]
BOUND = 20.0
"""Log-variances stay in (-20, 20): standard deviations from 5e-5 to 2e4."""


class VAENetwork(nn.Module):
    """Two linear heads on the features, mean and log-variance of the latent, and a decoder.

    ``mu = W f + b``, ``s = B tanh((V f + c) / B)``, f the features centred and brought to unit
    size. s is a log-variance everywhere: in the divergence and in the draw. It starts at 0.

    Args:
        features: length of the feature vector.
        latent: length of the latent vector.
        decoder: from a latent vector to an image in [0, 1].
    """

    def __init__(self, features: int, latent: int, decoder: nn.Module) -> None:
        super().__init__()
        self.scale = FeatureScale(features)
        self.mu = nn.Linear(features, latent)
        self.log_variance = nn.Linear(features, latent)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.zeros_(self.log_variance.bias)
        self.decoder = decoder

    def encode(self, features: Float[Tensor, "batch features"]) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the latent, ``float[batch, latent]`` each."""
        scaled = self.scale(features)
        return self.mu(scaled), BOUND * torch.tanh(self.log_variance(scaled) / BOUND)


def kl_to_prior(mu: Float[Tensor, "batch latent"], log_variance: Tensor) -> Scores:
    """Return the divergence of N(mu, exp(s)) from the standard normal, in nats, >= 0.

    ``1/2 sum_k (exp(s_k) + mu_k^2 - 1 - s_k)``.

    Args:
        mu: means.
        log_variance: s.
    """
    return 0.5 * (log_variance.exp() + mu.square() - 1 - log_variance).sum(dim=1)


def draw_latent(
    mu: Float[Tensor, "batch latent"], log_variance: Tensor, draw: torch.Generator
) -> Float[Tensor, "batch latent"]:
    """Return ``z = mu + exp(s / 2) e``, e standard normal from a CPU generator."""
    noise = torch.randn(mu.shape, generator=draw).to(mu)
    return mu + (0.5 * log_variance).exp() * noise


def reconstruction_error(images: Images, rebuilt: Images, *, error: ErrorKind) -> Scores:
    """Return the mean over pixels and channels of ``|x - y|`` or ``(x - y)^2``, in [0, 1].

    Args:
        images: in [0, 1].
        rebuilt: of the same shape.
        error: ``absolute`` or ``squared``.
    """
    difference = (images.float() - rebuilt.float()).flatten(1)
    return (difference.abs() if error == "absolute" else difference.square()).mean(dim=1)
