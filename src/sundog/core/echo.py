"""How pulls compare between classifiers of few and of many classes."""

from __future__ import annotations

TYPICAL = 10
"""Classes at which margins and limits of a pull are stated."""


def echo(classes: int) -> float:
    """Return how much larger the pull of the same loss is than with ten classes; at least 1.

    What the label loses goes to the other C - 1 classes alike, so that the donor's class gets
    ``1 / (C - 1)`` of it whatever the reason: ``(1 + 1 / (C - 1)) / (1 + 1 / 9)``, 1.8 for two
    classes, 1 from ten classes on.

    Args:
        classes: of the classifier, at least 1.
    """
    return max(1.0, (1 + 1 / max(classes - 1, 1)) / (1 + 1 / (TYPICAL - 1)))
