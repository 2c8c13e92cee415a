"""The result of a method: maps and everything that is needed to make them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from sundog.core.notebook import Card, InNotebook, map_pixels
from sundog.core.shapes import Labels, Logits, Maps, Scores
from sundog.explain.objective import OutputKind

SHOWN = 4
"""Maps that a notebook shows."""


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(InNotebook):
    """Maps of one method for a batch of images, with how they were made and what they cost.

    Attributes:
        method: name in the table of methods.
        maps: raw ``float[batch, height, width]`` (display scaling is separate);
            ``[batch, channels, height, width]`` for ``reduction="none"``.
        target: ``int64[batch]`` explained class, or None for a scalar of the user's own.
        output: logit, probability or log_probability of that class.
        logits: ``float[batch, classes]`` of the clean images.
        parameters: every parameter of the method, defaults included; as given (tensors stay
            tensors). :meth:`record` gives them as text.
        signed: whether negative values mean 'speaks against'.
        reduction: over the channels, or None where the method has none.
        baseline: its name, or None where the method has none.
        completeness_gap: ``float[batch]``, sum of the attribution before reduction minus
            ``f(x) - f(baseline)``; nearer 0 is better. None where the method promises no sum.
        seconds: wall time for the batch.
        forwards: rows that went forward through the classifier, per image, measured.
        backwards: rows that went backward, per image, measured.
        shared: methods that came from the same pass; seconds and rows are those of the pass.
    """

    method: str
    maps: Maps
    target: Labels | None
    output: OutputKind
    logits: Logits
    parameters: Mapping[str, Any] = field(default_factory=dict)
    signed: bool = False
    reduction: str | None = None
    baseline: str | None = None
    completeness_gap: Scores | None = None
    seconds: float = 0.0
    forwards: float = 0.0
    backwards: float = 0.0
    shared: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return how the maps were made and what they cost, as plain values for JSON."""
        return {
            "method": self.method,
            "target": None if self.target is None else self.target.tolist(),
            "output": self.output,
            "parameters": {key: plain(value) for key, value in self.parameters.items()},
            "signed": self.signed,
            "reduction": self.reduction,
            "baseline": self.baseline,
            "completeness_gap": None
            if self.completeness_gap is None
            else self.completeness_gap.tolist(),
            "seconds": self.seconds,
            "forwards_per_image": self.forwards,
            "backwards_per_image": self.backwards,
            "shared_pass": list(self.shared),
            "shape": list(self.maps.shape),
        }

    def __repr__(self) -> str:
        shape = "x".join(str(n) for n in self.maps.shape)
        sign = "signed" if self.signed else "unsigned"
        cost = f"{self.forwards:.3g} F + {self.backwards:.3g} B per image, {self.seconds:.3g} s"
        return f"Attribution({self.method}, {shape}, {self.output}, {sign}, {cost})"

    def _card(self) -> Card:
        maps = self.maps.detach().float().cpu()
        flat = maps.sum(dim=1) if maps.ndim == 4 else maps
        return Card(
            headline=f"{len(maps)} maps by {self.method}",
            facts={
                "explained": self.output,
                "signed": self.signed,
                "cost": f"{self.forwards:.3g} forward and {self.backwards:.3g} backward passes per "
                f"image, {self.seconds:.3g} s in all",
            },
            pictures=[
                (map_pixels(one.numpy()), f"Map {number}: red speaks for the class, blue against")
                for number, one in enumerate(flat[:SHOWN], start=1)
            ],
        )


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: tensors by shape, functions and modules by name."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return f"tensor{tuple(value.shape)}"
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Sequence):
        return [plain(one) for one in value]
    if isinstance(value, nn.Module):
        return type(value).__name__
    return getattr(value, "__qualname__", type(value).__name__)
