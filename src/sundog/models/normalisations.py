"""The usual ways in which networks are fed, and images as another way would have shown them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sundog.core.shapes import Images
from sundog.models.classifier import Classifier
from sundog.models.sources.source import IMAGENET_MEAN, IMAGENET_STD

Triple = tuple[float, float, float]
SAME = 0.02
"""Two ways whose inputs differ by less than this share of their spread count as one."""


@dataclass(frozen=True)
class Normalisation:
    """One way to feed a network: ``(images - mean) / std``, perhaps with red and blue swapped.

    Attributes:
        name: short.
        words: what it is.
        mean: per channel in [0, 1] units, in the order the network sees.
        std: likewise.
        swapped: whether the network sees blue, green, red.
    """

    name: str
    words: str
    mean: Triple
    std: Triple
    swapped: bool = False


def given_normalisation(classifier: Classifier) -> Normalisation:
    """Return the classifier's own."""
    mean, std = _triple(classifier.mean), _triple(classifier.std)
    return Normalisation(name="as given", words="as given", mean=mean, std=std)


def other_normalisations(
    classifier: Classifier, *, colour: bool = True
) -> tuple[Normalisation, ...]:
    """Return the usual ways that differ from the classifier's own.

    None; ImageNet's mean and std; 0.5 and 0.5 (TensorFlow's ``(255 x - 127) / 128`` is within 1 %
    of it); 0..255; Caffe's 0..255 minus a mean, blue first; the classifier's own twice; and its
    own with red and blue swapped (not for a grey network).

    Args:
        classifier: any; ways that it cannot tell from its own are left out.
        colour: whether the images have colours: grey ones cannot tell red from blue.
    """
    given = given_normalisation(classifier)
    twice_mean = tuple(m + m * s for m, s in zip(given.mean, given.std, strict=True))
    twice_std = tuple(s * s for s in given.std)
    caffe = (103.939 / 255, 116.779 / 255, 123.68 / 255)
    found = [
        Normalisation("none", "images in [0, 1] as they are", (0.0,) * 3, (1.0,) * 3),
        Normalisation("ImageNet", "ImageNet's mean and std", IMAGENET_MEAN, IMAGENET_STD),
        Normalisation("half", "0.5 and 0.5: images in [-1, 1]", (0.5,) * 3, (0.5,) * 3),
        Normalisation("TensorFlow", "(255 x - 127) / 128", (127 / 255,) * 3, (128 / 255,) * 3),
        Normalisation("0..255", "images in 0..255", (0.0,) * 3, (1 / 255,) * 3),
        Normalisation("Caffe", "0..255 minus a mean, blue first", caffe, (1 / 255,) * 3, True),
        Normalisation("twice", "the given one twice", _of(twice_mean), _of(twice_std)),
        Normalisation("blue first", "red and blue swapped", given.mean, given.std, True),
    ]
    if classifier.channels == 1 or not colour:
        found = [one for one in found if not one.swapped]
    if classifier.channels == 1:
        found = [_grey(one) for one in found]
    kept: list[Normalisation] = []
    for one in found:
        if all(not _alike(one, other) for other in (given, *kept)):
            kept.append(one)
    return tuple(kept)


def has_colour(images: Images) -> bool:
    """Return whether any image has a pixel whose channels differ."""
    return bool((images[:, :1] != images[:, 1:]).any())


def seen_as(classifier: Classifier, images: Images, normalisation: Normalisation) -> Images:
    """Return images that the classifier's own normalisation turns into what another would give.

    ``(x - m) std / s + mean``, so that nothing of the classifier is changed. Values leave [0, 1].

    Args:
        classifier: whose network is asked.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        normalisation: the other way.
    """
    shown = images.flip(1) if normalisation.swapped else images
    mean, std = _axis(normalisation.mean, images), _axis(normalisation.std, images)
    own_mean = _axis(_triple(classifier.mean), images)
    own_std = _axis(_triple(classifier.std), images)
    return (shown - mean) * (own_std / std) + own_mean


def _axis(values: Triple, like: Tensor) -> Tensor:
    return torch.tensor(values).reshape(1, 3, 1, 1).to(like)


def _triple(values: Tensor) -> Triple:
    flat = [float(value) for value in values.flatten().tolist()]
    return _of(flat * 3 if len(flat) == 1 else flat)


def _of(values: list[float] | tuple[float, ...]) -> Triple:
    return (values[0], values[1], values[2])


def _grey(one: Normalisation) -> Normalisation:
    """Return the way for a grey network: one mean and std."""
    mean, std = sum(one.mean) / 3, sum(one.std) / 3
    return Normalisation(one.name, one.words, (mean,) * 3, (std,) * 3)


def _alike(one: Normalisation, other: Normalisation) -> bool:
    """Return whether two ways give nearly the same input."""
    if one.swapped != other.swapped:
        return False
    return all(
        abs(m - n) <= SAME * s and abs(s - t) <= SAME * s
        for m, n, s, t in zip(one.mean, other.mean, one.std, other.std, strict=True)
    )
