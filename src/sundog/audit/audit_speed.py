"""How fast this machine is with this classifier and these images: a few of them are timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sundog.audit.subject import Subject, spread
from sundog.concepts.tagger import Tagger, rows_of
from sundog.core.errors import DataError
from sundog.data.content import Pixels
from sundog.data.transforms import resize_image

SAMPLE = 8
"""Images that are timed."""
QUICK = 0.2
"""Seconds below which a first timing is repeated: it holds what is done only once."""
REPEATS = 3


@dataclass(frozen=True)
class Speed:
    """Seconds per image.

    Attributes:
        decode: reading, decoding and resizing.
        forward: through the classifier, in its usual batch.
        backward: forward and back to the input; that of ``forward`` if it has no gradient.
        tags: tagger -> scoring its tags.
        pixels: of a decoded image, on average.
        load: how much longer than its processor time a forward takes, because of other programs.
    """

    decode: float
    forward: float
    backward: float
    tags: Mapping[str, float] = field(default_factory=dict)
    pixels: float = 0.0
    load: float = 1.0


def measure_speed(subject: Subject, taggers: Sequence[Tagger] = ()) -> Speed:
    """Time a few images, spread over the set.

    Args:
        subject: images and classifier; the images stay decoded if the set remembers them.
        taggers: those that look at images and are fitted are timed too.

    Raises:
        DataError: not one of the images can be decoded.
    """
    pixels: list[Pixels] = []
    places: list[int] = []
    start = time.perf_counter()
    for index in spread(len(subject.image_set), SAMPLE).tolist():
        try:
            pixels.append(subject.image_set.image(index))
        except DataError:  # listed in the image set's ``skipped``
            continue
        places.append(index)
    images = [resize_image(p, subject.size, resize=subject.resize) for p in pixels]
    decode = (time.perf_counter() - start) / max(len(pixels), 1)
    if not pixels:
        raise DataError(
            f"Image set {subject.image_set.name!r}",
            expected="readable",
            got=f"{SAMPLE} images, spread over it, of which not one can be decoded",
        )
    batch = torch.stack(images).to(subject.classifier.device)
    whole = batch.repeat(-(-subject.batch_size // len(batch)), 1, 1, 1)[: subject.batch_size]
    clock, processor = time.perf_counter(), time.process_time()
    forward = _seconds(lambda: _forward(subject, whole)) / len(whole)
    waited, worked = time.perf_counter() - clock, time.process_time() - processor
    backward = forward
    if subject.classifier.differentiable:
        backward = _seconds(lambda: _backward(subject, batch)) / len(batch)
    rows = rows_of(subject.image_set, places, pixels)
    return Speed(
        decode=decode,
        forward=forward,
        backward=backward,
        tags={
            tagger.name: _seconds(lambda t=tagger: t.score(rows)) / len(rows)  # type: ignore[misc]
            for tagger in taggers
            if tagger.needs_images and tagger.fitted
        },
        pixels=sum(p.shape[0] * p.shape[1] for p in pixels) / len(pixels),
        load=max(1.0, waited / worked) if worked > 0 else 1.0,
    )


@torch.no_grad()
def _forward(subject: Subject, images: Tensor) -> None:
    subject.classifier(images)


def _backward(subject: Subject, images: Tensor) -> None:
    given = images.clone().requires_grad_()
    with torch.enable_grad():
        torch.autograd.grad(subject.classifier(given).max(dim=1).values.sum(), given)


def _seconds(run: Callable[[], object]) -> float:
    """Return the mean of a few timings after a first one; a long first one stands alone."""
    found: list[float] = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
        if found[-1] > QUICK:
            break
    return sum(found[1:] or found) / len(found[1:] or found)
