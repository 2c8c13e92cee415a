"""Results of the tests as records of the query; p-values carry the correction for all families."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from sundog.bias.class_images import Metric
from sundog.bias.hidden import ConceptEffect
from sundog.bias.replication import Replicated
from sundog.bias.slice_effects import SliceEffect
from sundog.bias.strata_effects import PooledSlice
from sundog.core.inspection.finding import (
    Effect,
    Finding,
    Kind,
    Parent,
    Ranking,
    Replication,
    finding_id,
)


def hidden_finding(
    effect: ConceptEffect,
    *,
    alpha: float,
    min_gap: float,
    families: int,
    adjustment: str,
    tests: int,
    replication: Replication | None = None,
    explained_by: Sequence[str] = (),
    note: str = "",
    ranked: bool = False,
) -> Finding:
    """Return the record of one class x concept test.

    Args:
        effect: of :mod:`sundog.bias.hidden`.
        alpha: bound of the p-value over all families.
        min_gap: smallest |gap| that matters.
        families: searches that share ``alpha``; the adjusted p-value is multiplied by it.
        adjustment: its name.
        tests: of the family.
        replication: on halves.
        explained_by: concepts of a stronger finding that accounts for this one.
        note: added to the reason.
        ranked: whether a ranking was tested.
    """
    p_adjusted = scaled(effect.p_adjusted, families)
    gap = effect.gap.value if effect.gap is not None else math.nan
    large = ranked or (not math.isnan(gap) and abs(gap) >= min_gap)
    return Finding(
        id=finding_id("hidden", effect.class_name, (effect.concept,), effect.metric),
        kind="hidden",
        class_name=effect.class_name,
        concepts=(effect.concept,),
        source="ranking" if ranked else "tag",
        direction=effect.direction if effect.direction in ("hurts", "helps") else "none",
        effect=Effect(
            metric=effect.metric,
            present=number(effect.mean_present),
            absent=number(effect.mean_absent),
            n_present=effect.n_present,
            n_absent=effect.n_absent,
            gap=number(effect.gap.value) if effect.gap is not None else None,
            low=number(effect.gap.low) if effect.gap is not None else None,
            high=number(effect.gap.high) if effect.gap is not None else None,
            level=effect.gap.level if effect.gap is not None else 0.95,
            method=effect.gap.method if effect.gap is not None else "",
        ),
        test=effect.test,
        p=number(effect.p),
        p_adjusted=p_adjusted,
        adjustment=adjustment,
        tests=tests,
        significant=p_adjusted is not None and p_adjusted <= alpha and large,
        smallest_detectable=number(effect.smallest_detectable),
        ranking=_ranking(effect) if ranked else None,
        replication=replication,
        explained_by=tuple(explained_by),
        note=" ".join(part for part in (effect.reason, _explained(explained_by), note) if part),
        **_errors(effect),
    )


def slice_finding(
    effect: SliceEffect,
    *,
    families: int,
    adjustment: str,
    tests: int,
    replication: Replication | None = None,
    note: str = "",
) -> Finding:
    """Return the record of a combination that :func:`~sundog.bias.complex.find_slices` kept."""
    kind: Kind = "complex" if len(effect.concepts) > 1 else "hidden"
    class_name = effect.class_name or ""
    return Finding(
        id=finding_id(kind, class_name, effect.concepts, effect.metric),
        kind=kind,
        class_name=class_name,
        concepts=effect.concepts,
        direction=effect.direction,
        effect=Effect(
            metric=effect.metric,
            present=number(effect.mean_present),
            absent=number(effect.mean_absent),
            n_present=effect.n_present,
            n_absent=effect.n_absent,
            gap=number(effect.gap.value),
            low=number(effect.gap.low),
            high=number(effect.gap.high),
            level=effect.gap.level,
            method=effect.gap.method,
        ),
        test="fisher" if effect.metric == "accuracy" else "welch",
        p=number(effect.p),
        p_adjusted=scaled(effect.p_adjusted, families),
        adjustment=adjustment,
        tests=tests,
        significant=True,
        errors=effect.errors,
        expected_errors=number(effect.expected_errors),
        expected_images=number(effect.expected_images),
        parents=tuple(
            Parent(concepts=p.concepts, n=p.n, gap=number(p.gap), p_more=number(p.p_more))
            for p in effect.parents
        ),
        shapley=dict(effect.shapley) if len(effect.concepts) > 1 else {},
        replication=replication,
        explained_by=effect.explained_by or (),
        note=" ".join(part for part in (_explained(effect.explained_by or ()), note) if part),
    )


def across_finding(found: PooledSlice, *, families: int, adjustment: str, tests: int) -> Finding:
    """Return the record of a slice over all classes, stratified by class."""
    effect = found.effect
    plain = slice_finding(effect, families=families, adjustment=adjustment, tests=tests)
    mixed = number(found.p_homogeneity)
    note = f"A mean over {len(found.classes)} classes, images compared inside their own class."
    if mixed is not None and mixed < 0.05:
        note += f" The gap differs between the classes (p = {mixed:.2g})."
    return plain.model_copy(
        update={
            "id": finding_id("across", "", effect.concepts, effect.metric),
            "kind": "across",
            "test": "cochran-mantel-haenszel",
            "note": " ".join(part for part in (plain.note, note) if part),
        }
    )


def replication_record(
    found: Replicated,
    *,
    metric: Metric,
    outcome: Shaped[np.ndarray, "images"],
    inside: Bool[np.ndarray, "images"],
) -> Replication:
    """Return what the halves say of a finding.

    Args:
        found: of :func:`~sundog.bias.replication.replicate`.
        metric: what was compared.
        outcome: of the images of the half that did not search.
        inside: which of them have the concept(s).
    """
    gap = found.gap
    return Replication(
        status=found.status,
        effect=Effect(
            metric=metric,
            present=number(outcome[inside].mean()) if inside.any() else None,
            absent=number(outcome[~inside].mean()) if not inside.all() else None,
            n_present=int(inside.sum()),
            n_absent=int((~inside).sum()),
            gap=number(gap.value),
            low=number(gap.low),
            high=number(gap.high),
            level=gap.level,
            method=gap.method,
        ),
        p=number(found.p_adjusted),
    )


def scaled(value: float | None, families: int) -> float | None:
    """Return an adjusted p-value corrected for ``families`` searches; NaN becomes None."""
    plain = number(value)
    return None if plain is None else min(1.0, families * plain)


def number(value: float | None) -> float | None:
    """Return a finite float, or None."""
    return None if value is None or not math.isfinite(value) else float(value)


def rank_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return significant findings first, by adjusted p, then by the bound of the gap near 0.

    Findings that another one accounts for come after those that stand on their own.
    """

    def key(finding: Finding) -> tuple[bool, bool, float, float, float, str, tuple[str, ...]]:
        effect = finding.effect
        ends = [abs(e) for e in (effect.low, effect.high) if e is not None]
        apart = (effect.low or 0) * (effect.high or 0) > 0
        bound = min(ends) if ends and apart else 0.0
        return (
            not finding.significant,
            bool(finding.explained_by),
            1.0 if finding.p_adjusted is None else finding.p_adjusted,
            -bound,
            1.0 if finding.p is None else finding.p,
            finding.class_name,
            finding.concepts,
        )

    return tuple(sorted(findings, key=key))


def _explained(concepts: Sequence[str]) -> str:
    """Return a sentence if another finding accounts for this one, or nothing."""
    return f"Outside of {' + '.join(concepts)} this gap is no longer seen." if concepts else ""


def _ranking(effect: ConceptEffect) -> Ranking:
    auroc = effect.auroc
    correlation = effect.correlation
    return Ranking(
        auroc=None if auroc is None else number(auroc.value),
        low=None if auroc is None else number(auroc.low),
        high=None if auroc is None else number(auroc.high),
        correlation=None if correlation is None else number(correlation.value),
        top_k=effect.top_k,
        top_gap=number(effect.top_gap),
    )


def _errors(effect: ConceptEffect) -> dict[str, Any]:
    """Return errors among the images with the concept, and how many chance would give."""
    if effect.metric != "accuracy" or number(effect.mean_present) is None:
        return {}
    if effect.test != "fisher" or number(effect.mean_absent) is None:
        return {}
    wrong = round(effect.n_present * (1 - effect.mean_present))
    return {
        "errors": wrong,
        "expected_errors": float(effect.n_present * (1 - effect.mean_absent)),
    }
