"""Decoders: from a latent vector to an image, the face lab's and one for any image size."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.core.shapes import Images
from sundog.models.sources.source import seeded_weights

SMALLEST = 2
"""Pixels of the longer side from which a derived decoder starts."""
_WIDTHS = (1, 2, 4, 6, 8)
"""Channels, in units of ``filters``, of the maps 1, 2, 3, ... doublings below the image."""


class Decoder(nn.Module):
    """A linear layer and transposed convolutions with stride 2 that double the sides.

    ``linear, (ReLU, layer norm, transposed conv) x n, sigmoid``: the mirror image of
    :class:`sundog.models.lab_nets.LabCNN` without its hidden layer. Kernels are 5 for the last two
    doublings and 3 before; channels are ``filters * 8`` up to the fifth doubling from the image,
    then 6, 4, 2, 1. An odd side is reached by leaving out the last row or column. Weights start as
    in Keras (Glorot uniform, biases 0).

    The lab's decoder has no norm and ends in a ReLU. Without a norm its units die where images are
    few: 200 tinted digits were then all rebuilt black (loss .034, with the norm .017). The
    norm is over channels and places of one image, so no image depends on its batch.

    Args:
        latent: length of the vector.
        image_size: (height, width) in pixels.
        channels: of the image.
        filters: channels before the last doubling.

    Source:
        MIT 6.S191, the face lab of 2023.
    """

    started: Tensor

    def __init__(
        self, latent: int, image_size: tuple[int, int], *, channels: int = 3, filters: int = 12
    ) -> None:
        super().__init__()
        for name, value in (("latent", latent), ("channels", channels), ("filters", filters)):
            if value < 1:
                raise InputError(name, expected=">= 1", got=str(value))
        if min(image_size) < SMALLEST:
            raise InputError(
                "image_size", expected=f"at least {SMALLEST} pixels a side", got=str(image_size)
            )
        self.image_size = (int(image_size[0]), int(image_size[1]))
        sizes = [self.image_size]
        while len(sizes) == 1 or max(sizes[-1]) > SMALLEST:
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        widths = [channels, *(filters * _WIDTHS[min(i, 4)] for i in range(len(sizes) - 1))]
        self._start = (widths[-1], *sizes[-1])
        self.linear = nn.Linear(latent, widths[-1] * sizes[-1][0] * sizes[-1][1])
        layers: list[nn.Module] = []
        for step in range(len(sizes) - 1, 0, -1):
            kernel = 5 if step <= 2 else 3
            extra = [
                after - (2 * before - 1)
                for before, after in zip(sizes[step], sizes[step - 1], strict=True)
            ]
            layers += [
                nn.ReLU(),
                nn.GroupNorm(1, widths[step]),
                nn.ConvTranspose2d(
                    widths[step],
                    widths[step - 1],
                    kernel,
                    stride=2,
                    padding=kernel // 2,
                    output_padding=(extra[0], extra[1]),
                ),
            ]
        self.layers = nn.Sequential(*layers)
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        for module in self.modules():
            if isinstance(module, nn.ConvTranspose2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @torch.no_grad()
    def start_at(self, images: Images) -> None:
        """Let the first images of the training be rebuilt in their mean colour; later no change.

        From mid-grey, hundreds of steps would be spent on getting there with dark images.
        """
        if bool(self.started) or not len(images):
            return
        last = self.layers[-1]
        if isinstance(last, nn.ConvTranspose2d) and last.bias is not None:
            mean = images.float().mean(dim=(0, 2, 3)).clamp(0.01, 0.99)
            last.bias.copy_(mean.logit())
        self.started.fill_(True)

    def forward(self, latent: Float[Tensor, "batch latent"]) -> Images:
        """Return images in [0, 1], ``float[batch, channels, height, width]``."""
        return self.layers(self.linear(latent).unflatten(1, self._start)).sigmoid()


class FaceDecoder(Decoder):
    """The face lab's decoder for 64 px: maps of 2, 4, 8, 16, 32 and 64 pixels a side.

    Args:
        latent: length of the vector; 32 in the lab of 2023.
        channels: of the image.
        filters: channels before the last doubling.
    """

    def __init__(self, latent: int = 32, *, channels: int = 3, filters: int = 12) -> None:
        super().__init__(latent, (64, 64), channels=channels, filters=filters)


def derive_decoder(
    latent: int,
    image_size: tuple[int, int],
    *,
    channels: int = 3,
    filters: int = 12,
    seed: int = 0,
) -> Decoder:
    """Return a decoder for images of any size; at 64 px it is the face lab's.

    Args:
        latent: length of the vector, >= 1.
        image_size: (height, width) in pixels, >= 2 each.
        channels: of the image.
        filters: channels before the last doubling.
        seed: of its weights; the global generator is neither used nor changed.

    Raises:
        InputError: a size below 2 pixels, or a number below 1.
    """
    with seeded_weights(seed, "decoder"):
        return Decoder(latent, image_size, channels=channels, filters=filters)


def check_decoder(
    decoder: nn.Module, *, latent: int, image_size: tuple[int, int], channels: int = 3
) -> None:
    """Refuse a decoder that does not make such images, found out with two probe vectors.

    Args:
        decoder: put in eval mode for the probe, and back.
        latent: length of the vectors it is given.
        image_size: (height, width) in pixels of the images it must make.
        channels: of those images.

    Raises:
        InputError: another shape, values outside [0, 1] or not finite, or a network that does not
            run on such vectors.
    """
    parameter = next(decoder.parameters(), None)
    place = torch.device("cpu") if parameter is None else parameter.device
    probe = torch.randn((2, latent), generator=generator(0, "decoder probe")).to(place)
    wanted = (2, channels, *image_size)
    hint = (
        f"It is given float[batch, {latent}]. Leave decoder out to have one derived, change "
        "latent_dim, or give the images another size."
    )
    modes = {module: module.training for module in decoder.modules()}
    decoder.eval()
    try:
        with torch.no_grad():
            made = decoder(probe)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            "decoder",
            expected=f"a network from [2, {latent}] to {list(wanted)}",
            got=f"one that does not run: {str(error).splitlines()[0][:120]}",
            hint=hint,
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    shape = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
    if shape != wanted:
        raise InputError(
            "decoder",
            expected=f"a network from [2, {latent}] to {list(wanted)}",
            got=f"an output of {list(shape) if isinstance(shape, tuple) else shape}",
            hint=hint,
        )
    if not (float(made.min()) >= 0 and float(made.max()) <= 1):
        raise InputError(
            "decoder",
            expected="a network whose images are in [0, 1]",
            got=f"values from {float(made.min()):.3g} to {float(made.max()):.3g}",
            hint="End it with a sigmoid.",
        )
