"""A classification set from the embedded photographs: which photograph is a small crop from?"""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from sundog.core.seeds import generator
from sundog.data.arrays import from_arrays
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set
from sundog.data.transforms import resize_image

PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "photographer": "camera.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "galaxies": "hubble_deep_field.jpg",
    "rocket": "rocket.jpg",
}
"""Class and file; photographs whose licence is not stated are left out."""
STRIPES = 4
"""A photograph is cut into so many stripes; training crops come from the even ones, the others are
held out, so that no pixel is in both."""
CROP = (36, 92)
"""Smallest and largest side of a crop in pixels of the photograph."""
MEANS, SPREADS = (0.35, 0.65), (0.12, 0.24)
"""Ranges of mean and standard deviation that every crop is brought to, drawn for each: colour,
brightness and contrast must not tell the photograph, or a control would rely on them by right."""
BLUR, NOISE = (0.2, 1.6), (0.01, 0.08)
"""Ranges of the blur (sigma in pixels) and of the noise (standard deviation), drawn for each crop:
sharpness must not tell the photograph, either."""


def photograph_crops(part: str, *, per_class: int, size: int, seed: int) -> ImageSet:
    """Return random grey crops, each of another size, contrast, brightness, blur, noise and cast.

    Args:
        part: ``train`` or ``held-out``.
        per_class: crops of each photograph.
        size: side of the resulting images in pixels.
        seed: of all draws.
    """
    photographs = load_image_set("photos")
    images, labels = [], []
    for label, file in enumerate(PHOTOGRAPHS.values()):
        pixels = photographs.image(photographs.sources.index(file))
        for number in range(per_class):
            draw = generator(seed, "crop", part, file, number)
            images.append(_crop(pixels, part == "train", size, draw))
            labels.append(label)
    return from_arrays(
        np.stack(images), labels, tuple(PHOTOGRAPHS), layout="NHWC", name=f"photographs-{part}"
    )


def _crop(pixels: np.ndarray, even: bool, size: int, draw: torch.Generator) -> np.ndarray:
    """Return one crop, ``uint8[size, size, 3]``."""
    chance = torch.rand(9, generator=draw).tolist()
    height, width = pixels.shape[:2]
    stripe = width // STRIPES
    side = min(stripe, height, int(CROP[0] + chance[0] * (CROP[1] - CROP[0] + 1)))
    start = stripe * (2 * int(chance[1] * STRIPES / 2) + (0 if even else 1))
    left = start + int(chance[2] * (stripe - side + 1))
    top = int(chance[3] * (height - side + 1))
    crop = resize_image(pixels[top : top + side, left : left + side], (size, size))
    if chance[4] < 0.5:
        crop = crop.flip(2)
    crop = crop.mean(dim=0, keepdim=True)
    sigma = BLUR[0] + (BLUR[1] - BLUR[0]) * chance[7]
    crop = torch.from_numpy(gaussian_filter(crop.numpy(), (0, sigma, sigma), mode="nearest"))
    cast = 0.9 + 0.2 * torch.rand(3, 1, 1, generator=draw)
    mean = MEANS[0] + (MEANS[1] - MEANS[0]) * chance[5]
    spread = SPREADS[0] + (SPREADS[1] - SPREADS[0]) * chance[6]
    crop = ((crop - crop.mean()) / crop.std().clamp_min(0.02) * spread + mean) * cast
    crop = crop + (NOISE[0] + (NOISE[1] - NOISE[0]) * chance[8]) * torch.randn(
        3, size, size, generator=draw
    )
    return (crop.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
