"""What a network returns, told from the numbers: logits, probabilities, or something between."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

OutputLook = Literal[
    "logits", "probabilities", "log probabilities", "shares", "constant", "not finite"
]
"""``shares``: every number in [0, 1], rows that do not sum to 1 (a sigmoid per class)."""
TOLERANCE = 1e-3
"""Of the sum of a row."""


def output_look(raw: Float[Tensor, "rows columns"]) -> OutputLook:
    """Return what the rows look like; one column in [0, 1] is ``shares``.

    Logits of an untrained network may happen to lie in [0, 1]: ``shares`` is no proof.

    Args:
        raw: what the network itself returns, at least one row.
    """
    values = raw.detach().double()
    if not bool(torch.isfinite(values).all()):
        return "not finite"
    if len(values) > 1 and float((values - values[:1]).abs().max()) == 0:
        return "constant"
    inside = bool(((values >= -TOLERANCE) & (values <= 1 + TOLERANCE)).all())
    if values.shape[1] > 1:
        if inside and bool(((values.sum(dim=1) - 1).abs() <= TOLERANCE).all()):
            return "probabilities"
        if bool((values.logsumexp(dim=1).abs() <= TOLERANCE).all()):
            return "log probabilities"
    return "shares" if inside else "logits"
