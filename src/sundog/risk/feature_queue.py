"""The last vectors that were seen, first in, first out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sundog.core.errors import InputError
from sundog.core.seeds import generator


class FeatureQueue(nn.Module):
    """First in, first out: the last ``size`` vectors, and how many of them there are so far.

    Only rows that were pushed are ever returned: what has not been filled yet is no data.

    Args:
        size: rows kept at most, >= 1.
        width: numbers per row, >= 1.
    """

    kept: Tensor
    filled: Tensor
    position: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        for name, value in (("queue_size", size), ("width", width)):
            if value < 1:
                raise InputError(name, expected=">= 1", got=str(value))
        self.register_buffer("kept", torch.zeros((size, width)))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return int(self.filled)

    @property
    def size(self) -> int:
        """Rows kept at most."""
        return len(self.kept)

    @property
    def full(self) -> bool:
        """Whether the next row drives out the oldest."""
        return len(self) == self.size

    @torch.no_grad()
    def push(self, rows: Float[Tensor, "rows width"]) -> None:
        """Add rows in order, the oldest ones leaving.

        Raises:
            InputError: another width, or values that are not finite.
        """
        rows = self._checked(rows)[-self.size :]
        start = int(self.position)
        places = (start + torch.arange(len(rows), device=rows.device)) % self.size
        self.kept[places] = rows
        self.position.fill_((start + len(rows)) % self.size)
        self.filled.fill_(min(self.size, len(self) + len(rows)))

    @torch.no_grad()
    def refill(self, rows: Float[Tensor, "rows width"], *, seed: int = 0) -> None:
        """Replace everything by these rows, or by ``size`` of them drawn at random.

        Raises:
            InputError: no row, another width, or values that are not finite.
        """
        rows = self._checked(rows)
        if not len(rows):
            raise InputError("The queue", expected="refilled with at least one row", got="none")
        if len(rows) > self.size:
            draw = generator(seed, "feature queue")
            chosen = torch.randperm(len(rows), generator=draw)[: self.size].sort().values
            rows = rows[chosen.to(rows.device)]
        self.kept.zero_()
        self.filled.zero_()
        self.position.zero_()
        self.push(rows)

    def rows(self) -> Float[Tensor, "filled width"]:
        """Return the rows that were pushed, the oldest first."""
        count = len(self)
        start = int(self.position) if self.full else 0
        places = (start + torch.arange(count, device=self.kept.device)) % self.size
        return self.kept[places]

    def _checked(self, rows: Tensor) -> Tensor:
        if rows.ndim != 2 or rows.shape[1] != self.kept.shape[1]:
            raise InputError(
                "Rows of the queue",
                expected=f"[rows, {self.kept.shape[1]}]",
                got=str(list(rows.shape)),
            )
        if not bool(torch.isfinite(rows).all()):
            raise InputError("Rows of the queue", expected="finite", got="NaN or infinity")
        return rows.detach().to(self.kept)
