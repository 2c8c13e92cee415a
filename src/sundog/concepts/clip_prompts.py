"""The sentences with which a CLIP is asked for a concept, with and without the concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter

from sundog.core.errors import InputError

PromptPair = tuple[str, str]
"""(a sentence with the concept, the same sentence without it)."""

IN_CLASS: tuple[PromptPair, ...] = (
    ("a photo of a {class} with {concept}", "a photo of a {class}"),
    ("a photo of a {class} and {concept}", "a photo of a {class}"),
    ("a {class}, {concept}", "a {class}"),
    ("{concept} in a photo of a {class}", "a photo of a {class}"),
)
ALONE: tuple[PromptPair, ...] = (
    ("a photo of {concept}", "a photo"),
    ("a photo with {concept}", "a photo"),
    ("{concept} in the background", "a background"),
    ("a picture of {concept}", "a picture"),
)


@dataclass(frozen=True)
class Templates:
    """Pairs of sentences; ``{concept}`` and ``{class}`` stand for the two texts.

    Attributes:
        in_class: asked when the images are ranked inside a class. The first sentence of a pair
            holds both placeholders, the second ``{class}`` alone.
        alone: asked without a class. The first holds ``{concept}``, the second no placeholder.

    Raises:
        InputError: no pair, or a placeholder too many or too few.
    """

    in_class: tuple[PromptPair, ...] = IN_CLASS
    alone: tuple[PromptPair, ...] = ALONE

    def __post_init__(self) -> None:
        object.__setattr__(self, "in_class", _pairs(self.in_class, {"class"}, "in_class"))
        object.__setattr__(self, "alone", _pairs(self.alone, set(), "alone"))

    def fill(self, concept: str, class_name: str | None) -> tuple[list[str], list[str]]:
        """Return the sentences with the concept and, in the same order, those without."""
        pairs = self.alone if class_name is None else self.in_class
        words = {"concept": concept, "class": class_name}
        return [w.format(**words) for w, _ in pairs], [o.format(**words) for _, o in pairs]


def _pairs(pairs: Sequence[PromptPair], shared: set[str], what: str) -> tuple[PromptPair, ...]:
    found = tuple((str(pair[0]), str(pair[1])) for pair in pairs if len(pair) == 2)
    if not found or len(found) != len(pairs):
        raise InputError(
            f"templates.{what}",
            expected="at least one pair (with the concept, without it)",
            got=f"{len(pairs)} entries, {len(found)} of them pairs",
        )
    for sentences in found:
        for sentence, needed in zip(sentences, (shared | {"concept"}, shared), strict=True):
            if _placeholders(sentence) != needed:
                raise InputError(
                    f"The template {sentence!r}",
                    expected="with "
                    + (" and ".join(f"{{{n}}}" for n in sorted(needed)) or "none")
                    + " of the placeholders {class} and {concept}",
                )
    return found


def _placeholders(sentence: str) -> set[str]:
    try:
        parts = list(Formatter().parse(sentence))
    except ValueError as error:
        raise InputError(
            f"The template {sentence!r}", expected="with paired braces", got=str(error)
        ) from error
    return {name for _, name, _, _ in parts if name is not None}
