"""The ranges from which the parameters of a planted cue are drawn, by the seed of its setting."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sundog.core.seeds import derive_seed

CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right", "random")
Draw = Callable[[np.random.Generator], dict[str, Any]]


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 3)


def _place(rng: np.random.Generator) -> dict[str, Any]:
    return {"corner": str(rng.choice(CORNERS)), "margin": _between(rng, 0.0, 0.08)}


RANGES: dict[str, Draw] = {
    "pixel": lambda rng: {},
    "patch": lambda rng: {"size": _between(rng, 0.1, 0.25), **_place(rng)},
    "text": lambda rng: {
        "size": _between(rng, 0.2, 0.32),
        "opacity": _between(rng, 0.6, 1.0),
        **_place(rng),
    },
    "border": lambda rng: {"width": _between(rng, 0.03, 0.1)},
    "tint": lambda rng: {"amount": _between(rng, 0.15, 0.4)},
    "background": lambda rng: {
        "keep": _between(rng, 0.7, 0.95),
        "period": _between(rng, 0.08, 0.2),
    },
    "blur": lambda rng: {"first": 0.002, "last": _between(rng, 0.03, 0.06)},
    "jpeg": lambda rng: {"first": 92, "last": int(rng.integers(4, 16))},
    "position": lambda rng: {"scale": _between(rng, 0.62, 0.8)},
    "conjunction": lambda rng: {
        "amount": _between(rng, 0.2, 0.4),
        "size": _between(rng, 0.15, 0.28),
        **_place(rng),
    },
    "rare-group": lambda rng: {
        "attribute": str(rng.choice(("patch", "tint", "border"))),
        "share": _between(rng, 0.0, 0.008),
    },
    "noisy-labels": lambda rng: {"share": _between(rng, 0.15, 0.3)},
}
"""Cue -> draw. The last two are no shortcuts: in ``rare-group`` one class hardly ever has an
attribute that half of the other images have, in ``noisy-labels`` a share of one class's labels is
wrong."""
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "patch": {"size": 0.22, "corner": "bottom_right", "margin": 0.0},
    "tint": {"amount": 0.3},
    "border": {"width": 0.08},
}
"""The attributes of rare groups: parameters of the planted cue."""
SHORTCUTS = tuple(name for name in RANGES if name not in ("rare-group", "noisy-labels"))
STRENGTHS = (0.7, 0.9, 0.95, 1.0)
ODDS = (0.2, 0.25, 0.25, 0.3)
"""How often each strength is drawn."""
FACES_ODDS = (0.0, 0.0, 0.3, 0.7)
"""Among so few images, and with so easy a task, no weaker cue is learnt."""


def draw_parameters(cue: str, *, seed: int) -> dict[str, Any]:
    """Return the parameters of a cue; they depend on cue and seed alone."""
    return RANGES[cue](np.random.default_rng(derive_seed(seed, "parameters", cue)))


def draw_strength(cue: str, data: str, *, seed: int) -> float:
    """Return how often the cue agrees with the label in the training images."""
    rng = np.random.default_rng(derive_seed(seed, "strength", cue))
    return float(rng.choice(STRENGTHS, p=FACES_ODDS if data == "faces" else ODDS))


def draw_class(cue: str, class_count: int, *, seed: int) -> int:
    """Return the class whose group is rare, or whose labels are wrong."""
    return int(np.random.default_rng(derive_seed(seed, "class", cue)).integers(class_count))
