"""A data set whose images show where one feature of the model is active.

Source: Singla & Feizi, 2021, arXiv 2110.04301: people name a feature from such pictures.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sundog.core.errors import InputError
from sundog.explain.bare_network import as_classifier
from sundog.explain.cam_layer import Layer
from sundog.explain.feature_map import feature_map
from sundog.explain.reduction import resize_maps, scale_max


class Dataset(Protocol):
    """Anything with a length and items; an item is an image, or an image and a label."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


class SaliencyItem(NamedTuple):
    """One image with the feature's activation on it.

    Attributes:
        image: ``float32[3, height, width]`` in [0, 1], with the overlay.
        label: as in the data set, or None.
        map: ``float32[height, width]``, raw activation, high = the feature is present there.
    """

    image: Tensor
    label: Any
    map: Tensor


class AppendSaliency:
    """A view of a data set in which each image carries the activation map of one feature.

    The overlay is ``(1 - alpha) * image + alpha * heat(m)`` with ``m`` the feature's map, its
    negative part cut off, divided by its largest value, and ``heat`` black - red - yellow - white:
    where the feature is absent the image is darker by alpha, where it is strongest it glows.

    Args:
        dataset: items ``image`` or ``(image, label)``: tensors ``[3, height, width]`` in [0, 1],
            uint8 arrays ``[height, width, 3]`` or pictures of Pillow; or an image set.
        model: a :class:`Classifier`, or a bare network that takes images in [0, 1].
        feature_idx: channel of the last feature map (feature of the penultimate layer), >= 0.
        alpha: opacity of the overlay, in [0, 1].
        fabric: a ``lightning_fabric.Fabric`` whose device is used, or None.
        layer: another layer to read.

    Raises:
        InputError: alpha outside [0, 1], or an item that is no image.
    """

    def __init__(
        self,
        dataset: Dataset,
        model: nn.Module,
        feature_idx: int,
        alpha: float = 0.25,
        fabric: Any = None,
        *,
        layer: Layer = None,
    ) -> None:
        if not 0 <= alpha <= 1:
            raise InputError("alpha", expected="in [0, 1]", got=repr(alpha))
        self.dataset = dataset
        self.feature_idx = feature_idx
        self.alpha = alpha
        self.layer = layer
        self.classifier = as_classifier(model, fabric=fabric)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> SaliencyItem:
        """Return the image with its overlay, its label and the raw map."""
        image, label = _read(self.dataset, index)
        size = (image.shape[1], image.shape[2])
        wanted = self.classifier.input_size
        seen = image[None]
        if wanted is not None and tuple(wanted) != size:
            seen = F.interpolate(seen, size=wanted, mode="bilinear", antialias=True).clamp(0, 1)
        found = feature_map(
            self.classifier, seen.to(self.classifier.device), self.feature_idx, layer=self.layer
        ).to(image.device)
        found = resize_maps(found, size)
        heat = heat_colours(scale_max(found.relu())[0])
        return SaliencyItem((1 - self.alpha) * image + self.alpha * heat, label, found[0])


def heat_colours(values: Tensor) -> Tensor:
    """Return black - red - yellow - white for values from 0 to 1, ``[3, height, width]``."""
    return torch.stack([3 * values, 3 * values - 1, 3 * values - 2]).clamp(0, 1)


def _read(dataset: Any, index: int) -> tuple[Tensor, Any]:
    """Return image number ``index`` as ``float32[3, height, width]`` in [0, 1], and its label."""
    if not 0 <= index < len(dataset):
        raise IndexError(f"index must be in 0..{len(dataset) - 1}; got {index}.")
    if callable(getattr(dataset, "image", None)):
        item: Any = (dataset.image(index), int(dataset.labels[index]))
    else:
        item = dataset[index]
    image, label = (item[0], item[1]) if isinstance(item, (tuple, list)) else (item, None)
    if not isinstance(image, Tensor):
        array = np.array(image.convert("RGB") if hasattr(image, "convert") else image)
        image = torch.from_numpy(array)
        if image.ndim == 3 and image.shape[2] == 3:
            image = image.permute(2, 0, 1)
    if image.dtype == torch.uint8:
        image = image.float() / 255
    if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
        raise InputError(
            f"Item {index} of the data set",
            expected="an image [3, height, width] in [0, 1] or uint8 [height, width, 3]",
            got=f"{image.dtype} of shape {tuple(image.shape)}",
        )
    return image.contiguous(), label
