"""Small parts of a page beside text, tables and figures: badges, checks, photos, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.report.picture import Picture

Tone = Literal["alarm", "calm", "unsure", "plain"]
"""``alarm`` a problem was found, ``calm`` none was, ``unsure`` cannot tell, ``plain`` no judgement.
Every tone stands beside a word: nothing is said by colour alone."""
SMALLEST = 64
"""Pictures with fewer pixels a side (digits) keep their pixels, on the page and in the file."""


@dataclass(frozen=True)
class Badge:
    """A word or two in a frame, for instance ``p < 0.001``."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Action:
    """What to do: a sentence, and commands that are ready to be run."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Check:
    """A question with its answer at a glance.

    Attributes:
        question: in a few words.
        answer: a sentence.
        tone: how bad it is.
        word: the tone in a word or two.
        section: title of the section that it leads to; empty for none.
        note: small print.
    """

    question: str
    answer: str
    tone: Tone = "plain"
    word: str = ""
    section: str = ""
    note: str = ""


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture of a strip.

    Attributes:
        pixels: ``[height, width, 3]``, ``uint8`` or float in [0, 1].
        words: below it, e.g. the predicted class.
        alt: what it shows; required.
        head: above the words, in bold: which part it plays.
        correct: whether a prediction is right; None: not a prediction, no mark.
        file: where it lies, relative to the page; for pages that link instead of embed.
    """

    pixels: NDArray[Any]
    words: str
    alt: str
    head: str = ""
    correct: bool | None = None
    file: str = ""

    @property
    def tiny(self) -> bool:
        """Whether it is shown pixel by pixel."""
        return max(self.pixels.shape[:2]) < SMALLEST

    @cached_property
    def picture(self) -> Picture:
        """The picture to encode; tiny ones without loss."""
        return Picture(self.pixels, self.words, self.alt, "chart" if self.tiny else "photo")


@dataclass(frozen=True, eq=False)
class Gallery:
    """Pictures side by side; they wrap on narrow screens.

    Attributes:
        title: what they have in common.
        photos: in order.
        columns: pictures of one row that belong together (a row is never broken then); 0: as many
            as fit.
    """

    title: str
    photos: Sequence[Photo]
    columns: int = 0

    def __post_init__(self) -> None:
        """Refuse rows that no screen can hold.

        Raises:
            InputError: more than four pictures that belong together.
        """
        if not 0 <= self.columns <= 4:
            raise InputError("columns", expected="from 0 to 4", got=str(self.columns))
