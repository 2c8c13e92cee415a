"""Risk by reconstruction: a variational autoencoder on the features of a classifier."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sundog.core.errors import CheckpointError, InputError, ModelStateError
from sundog.core.shapes import Images, Labels, Scores
from sundog.models.head import Head
from sundog.models.sources.source import seeded_weights
from sundog.risk.decoder import Decoder, FaceDecoder, check_decoder, derive_decoder
from sundog.risk.estimator import Passed, Trained
from sundog.risk.output import Field
from sundog.risk.vae_network import (
    ErrorKind,
    VAENetwork,
    draw_latent,
    kl_to_prior,
    reconstruction_error,
)

CHUNK = 256
"""Images decoded, or vectors encoded, at a time."""


class VAE(Trained):
    """Risk by reconstruction: the features are squeezed into a latent and the image rebuilt.

    Loss of an image: ``kl_weight * KL(N(mu, exp(s)) || N(0, 1)) + error(x, decode(z))``,
    ``z = mu + exp(s / 2) e``. ``epistemic`` is the reconstruction error from mu, without a draw,
    in units of the image (0 to 1); higher is riskier. Simple images (a plain background) are
    rebuilt well whether they are common or not: the error measures how hard an image is to
    rebuild as well as how unusual it is. No representation is given: with a weight of the
    divergence below 1 the latents do not follow the prior, so its density at mu is none of the
    training images. :class:`sundog.risk.histogram_vae.HistogramVAE` estimates that density.

    Args:
        latent_dim: length of the latent vector, >= 1.
        decoder: ``nn.Module`` from ``float[batch, latent_dim]`` to images in [0, 1], copied;
            ``"face"`` for the lab's 64 px decoder; None derives one for the image size.
        filters: channels of the largest maps of a derived decoder.
        kl_weight: >= 0; 0.0005 in the lab.
        error: ``absolute`` (the lab's) or ``squared``, in the loss and in the score.

    Raises:
        InputError: an argument out of range, or (in :meth:`build`) a decoder of another shape.

    Source:
        Kingma & Welling, 2013, arXiv 1312.6114; reconstruction as a risk: Lolla et al., 2023,
        arXiv 2308.00231 (re-implemented from the formulas).
    """

    name: ClassVar[str] = "vae"
    gives: ClassVar[tuple[Field, ...]] = ("epistemic",)
    needs_images: ClassVar[bool] = True

    def __init__(
        self,
        *,
        latent_dim: int = 32,
        decoder: nn.Module | Literal["face"] | None = None,
        filters: int = 12,
        kl_weight: float = 0.0005,
        error: ErrorKind = "absolute",
    ) -> None:
        for name, value in (("latent_dim", latent_dim), ("filters", filters)):
            if value < 1:
                raise InputError(name, expected=">= 1", got=str(value))
        if not 0 <= kl_weight < float("inf"):
            raise InputError("kl_weight", expected=">= 0", got=str(kl_weight))
        if error not in get_args(ErrorKind):
            raise InputError("error", expected=f"one of {get_args(ErrorKind)}", got=repr(error))
        if not (decoder is None or decoder == "face" or isinstance(decoder, nn.Module)):
            raise InputError(
                "decoder",
                expected="a network, 'face' or None",
                got=repr(decoder)[:80],
                hint="A network of your own is not stored: give it again.",
            )
        self.latent_dim = latent_dim
        self.decoder = decoder
        self.filters = filters
        self.kl_weight = kl_weight
        self.error = error
        self._parts = nn.ModuleDict()
        self._image_size = (0, 0)
        self._finished = False

    @property
    def fitted(self) -> bool:
        """Whether it was trained or loaded."""
        return self._finished

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments; a decoder of your own as its type's name."""
        given = self.decoder
        return {
            "latent_dim": self.latent_dim,
            "decoder": type(given).__name__ if isinstance(given, nn.Module) else given,
            "filters": self.filters,
            "kl_weight": self.kl_weight,
            "error": self.error,
        }

    def build(
        self,
        *,
        features: int,
        classes: int,
        image_size: tuple[int, int],
        head: Head | None = None,
        seed: int = 0,
    ) -> nn.Module:
        """Make heads and decoder; a decoder of your own is copied and keeps its weights.

        Returns:
            What holds them; :meth:`load_tensors` puts its own into the same.

        Raises:
            InputError: a decoder that does not make images of ``image_size``.
        """
        with seeded_weights(seed, "vae"):
            if isinstance(self.decoder, nn.Module):
                decoder: nn.Module = copy.deepcopy(self.decoder)
            elif self.decoder == "face":
                decoder = FaceDecoder(self.latent_dim, filters=self.filters)
            else:
                decoder = derive_decoder(
                    self.latent_dim, image_size, filters=self.filters, seed=seed
                )
            check_decoder(decoder, latent=self.latent_dim, image_size=image_size)
            self._parts["vae"] = VAENetwork(features, self.latent_dim, decoder)
        self._image_size = (int(image_size[0]), int(image_size[1]))
        self._finished = False
        return self._parts.eval()

    def concerned(self, labels: Labels) -> Tensor:
        """Return which images the VAE is trained on, ``bool[batch]``: all."""
        return torch.ones_like(labels, dtype=torch.bool)

    def loss(self, passed: Passed, labels: Labels, draw: torch.Generator) -> Tensor:
        """Return ``kl_weight * KL + error`` of the images concerned, averaged over the batch.

        Images that are not concerned count as 0, as in the source's indicator.
        """
        network = self._built()
        chosen = self.concerned(labels)
        images = self._images(passed)[chosen]
        features = passed.features[chosen].float()
        if not len(images):
            return network.mu.bias.sum() * 0
        if torch.is_grad_enabled():
            network.scale.observe(features)
            if isinstance(network.decoder, Decoder):
                network.decoder.start_at(images)
        mu, log_variance = network.encode(features)
        rebuilt = network.decoder(draw_latent(mu, log_variance, draw))
        each = self.kl_weight * kl_to_prior(mu, log_variance)
        each = each + reconstruction_error(images, rebuilt, error=self.error)
        return each.sum() / len(chosen)

    def end_fit(self, table: Any) -> None:
        """Finish: nothing but the weights is needed."""
        self._built().eval()
        self._finished = True

    @torch.no_grad()
    def score(self, passed: Passed) -> dict[Field, Scores]:
        """Return the reconstruction error from mu."""
        self.require_fitted()
        rebuilt = self.decode(self.latents(passed.features))
        error = reconstruction_error(self._images(passed), rebuilt, error=self.error)
        return {"epistemic": error}

    @torch.no_grad()
    def latents(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch latent"]:
        """Return mu of each image, the mean of its latent, from the classifier's features.

        Raises:
            InputError: features of another number, or not finite.
            ModelStateError: in train mode, or not built.
        """
        network = self._asked()
        wanted = network.mu.in_features
        if features.ndim != 2 or features.shape[1] != wanted:
            raise InputError(
                "features",
                expected=f"[batch, {wanted}], as in the fit",
                got=str(list(features.shape)),
                hint="Score with the classifier it was fitted on.",
            )
        if not bool(torch.isfinite(features).all()):
            raise InputError("features", expected="finite", got="NaN or infinity")
        parts = torch.split(features.float().to(network.mu.weight.device), CHUNK)
        return torch.cat([network.encode(part)[0] for part in parts])

    @torch.no_grad()
    def decode(self, latent: Float[Tensor, "batch latent"]) -> Images:
        """Return the images that belong to latent vectors, in [0, 1]."""
        network = self._asked()
        if latent.ndim != 2 or latent.shape[1] != self.latent_dim:
            raise InputError(
                "latent", expected=f"[batch, {self.latent_dim}]", got=str(list(latent.shape))
            )
        parts = torch.split(latent.float().to(network.mu.weight.device), CHUNK)
        return torch.cat([network.decoder(part) for part in parts])

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights and the image size."""
        self.require_fitted()
        state = self._built().state_dict()
        found = {f"network.{k}": v.detach().cpu().contiguous().clone() for k, v in state.items()}
        return {**found, "image_size": torch.tensor(self._image_size)}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned.

        Raises:
            CheckpointError: tensors of another method or architecture.
        """
        device = self._built().mu.weight.device if "vae" in self._parts else torch.device("cpu")
        try:
            height, width = (int(value) for value in tensors["image_size"])
            latent, features = tensors["network.mu.weight"].shape
            if latent != self.latent_dim:
                raise ValueError(f"{latent} latents")
            self.build(features=features, classes=0, image_size=(height, width))
            prefix = "network."
            weights = {
                k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
            }
            self._built().load_state_dict(weights)
            self._parts.to(device).eval()
        except (KeyError, ValueError, RuntimeError) as error:
            self._parts.clear()
            raise CheckpointError(
                f"Tensors of {self.name!r}",
                expected=f"of such a VAE with {self.latent_dim} latents",
                got=" ".join(str(error).split())[:200],
                hint="Load with the settings (and the decoder) it was fitted with.",
            ) from error
        self._finished = True

    def _images(self, passed: Passed) -> Images:
        images = passed.require_images(self.name)
        if tuple(images.shape[2:]) != self._image_size:
            raise InputError(
                "images",
                expected=f"of {self._image_size[0]} x {self._image_size[1]} px, as in the fit",
                got=f"{images.shape[2]} x {images.shape[3]} px",
                hint="Resize them, or fit again at this size.",
            )
        return images.to(self._built().mu.weight.device)

    def _built(self) -> VAENetwork:
        if "vae" not in self._parts:
            raise ModelStateError(
                f"Risk method {self.name!r}",
                expected="built",
                got="no network",
                hint="Call model.fit(training_images) first.",
            )
        network = self._parts["vae"]
        if not isinstance(network, VAENetwork):
            raise ModelStateError("The VAE", expected="a VAENetwork", got=type(network).__name__)
        return network

    def _asked(self) -> VAENetwork:
        """Return the network, which must be in eval mode: dropout would change the answer."""
        network = self._built()
        if any(module.training for module in self._parts.modules()):
            raise ModelStateError(
                f"Risk method {self.name!r}",
                expected="in eval mode",
                got="modules in train mode",
                hint="Call .eval() on what build() returned after training.",
            )
        return network
