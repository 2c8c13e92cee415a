"""Which scores a run computes: the curve specifications and the localisation scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sundog.core.errors import InputError, UnknownNameError
from sundog.faithfulness.controls import CONTROLS
from sundog.faithfulness.curve import CurveOutput, CurveSpec, Fill, Spacing
from sundog.faithfulness.localisation import LOCALISATION
from sundog.faithfulness.metrics import get_metric

DEFAULT_FILLS: dict[str, tuple[Fill, ...]] = {"deletion": ("black",), "insertion": ("blur",)}
"""The practical's deletion and RISE's insertion."""


@dataclass(frozen=True)
class Plan:
    """What is scored.

    Attributes:
        curves: one specification per deletion or insertion score.
        localisation: names of the scores against a mask.
        controls: names of the control maps.
        seed: for the random control and the noise of imputation.
    """

    curves: tuple[CurveSpec, ...]
    localisation: tuple[str, ...]
    controls: tuple[str, ...]
    seed: int

    @property
    def fills(self) -> tuple[Fill, ...]:
        """The fills that occur, each once, in order."""
        return tuple(dict.fromkeys(spec.fill for spec in self.curves))

    def specification(self) -> dict[str, Any]:
        """Return what decides the value of a score, as JSON values."""
        return {
            "curves": [spec.to_dict() for spec in self.curves],
            "localisation": list(self.localisation),
            "seed": self.seed,
        }


def make_plan(
    *,
    metrics: Sequence[str] = ("deletion", "insertion"),
    steps: int = 10,
    spacing: Spacing | Sequence[Spacing] = "equal",
    fills: Fill | Sequence[Fill] | Mapping[str, Sequence[Fill]] | None = None,
    output: CurveOutput = "probability",
    has_masks: bool = False,
    controls: bool | Sequence[str] = True,
    seed: int = 0,
) -> Plan:
    """Return the plan of a run.

    Args:
        metrics: names from :data:`~sundog.faithfulness.metrics.METRICS`; with masks and no metric
            that needs them, all of those are added.
        steps: images per curve for ``equal`` spacing.
        spacing: ``equal``, ``log``, or both.
        fills: for deletion and insertion alike, or by metric; None: black for deletion, blur for
            insertion.
        output: what the curves follow.
        has_masks: whether masks are given.
        controls: all control maps, none, or some by name.
        seed: for the random control and the noise of imputation.

    Raises:
        UnknownNameError: unknown metric, fill, spacing, output or control.
        InputError: no metric, a metric that needs masks without masks, steps < 2.
    """
    names = tuple(dict.fromkeys([metrics] if isinstance(metrics, str) else metrics))
    rows = [get_metric(name) for name in names]
    masked = tuple(row.name for row in rows if row.needs_mask)
    if masked and not has_masks:
        raise InputError(
            "masks",
            expected=f"given for {', '.join(masked)}",
            got="none",
            hint="Pass masks={image id: bool[height, width]}.",
        )
    if has_masks and not masked:
        masked = tuple(LOCALISATION)
    if not rows and not masked:
        raise InputError("metrics", expected="at least one metric", got="none")
    if isinstance(fills, str):
        fills = (fills,)
    if isinstance(fills, Mapping):
        by_metric = {**DEFAULT_FILLS, **{name: tuple(some) for name, some in fills.items()}}
    elif fills is None:
        by_metric = DEFAULT_FILLS
    else:
        same: tuple[Fill, ...] = tuple(fills)
        by_metric = {"deletion": same, "insertion": same}
    spacings = (spacing,) if isinstance(spacing, str) else tuple(spacing)
    curves = tuple(
        CurveSpec(kind, steps, axis, fill, output, seed=seed)
        for kind in ("deletion", "insertion")
        if kind in names
        for axis in spacings
        for fill in by_metric[kind]
    )
    if controls is True:
        chosen = tuple(CONTROLS)
    else:
        chosen = tuple(controls) if controls else ()
    for name in chosen:
        if name not in CONTROLS:
            raise UnknownNameError("control", name, CONTROLS)
    return Plan(curves=curves, localisation=masked, controls=chosen, seed=seed)
