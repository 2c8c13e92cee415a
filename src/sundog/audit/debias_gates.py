"""Which methods may run: what they need is known, the alignment allows it, their guess is good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sundog.audit.debias_data import DebiasData
from sundog.core.errors import LayerError
from sundog.debias.alignment import CONFLICTING
from sundog.debias.error_sets import GateDecision, gate_error_set
from sundog.debias.just_train_twice import error_set
from sundog.debias.registry import METHODS, NEEDS, Need, get_debias_method
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable
from sundog.models.head import read_head
from sundog.report.debias_content import Refused

CHEAP = ("erm", "dfr", "projection", "cue_augmentation", "group_reweighting")
"""What ``auto`` tries, in this order, of the methods whose needs are known."""
ALWAYS: tuple[Need, ...] = ("aleatoric", "density", "errors")
"""Needs that the run itself fulfils: cross-fitted label doubt, a VAE's density, a first model."""

NOTHING_KNOWN = (
    "plain training alone is no repair, and nothing else could run: the quick methods need groups "
    "(--group-column) or the place of the cue (a column mask_path); class_balance and "
    "adaptive_resampling need neither"
)
"""Why only plain training ran."""


@dataclass(frozen=True)
class Admitted:
    """Methods that may run, in the order asked for, and those that may not."""

    methods: tuple[str, ...]
    refused: tuple[Refused, ...]


def known_needs(data: DebiasData) -> set[Need]:
    """Return what is known beside images and labels."""
    known: set[Need] = set(ALWAYS)
    if data.train.groups is not None:
        known.add("train_groups")
    if data.validation.groups is not None:
        known.add("validation_groups")
    if data.train.editor is not None:
        known |= {"pairs", "rankings"}
        if data.train.masks is not None:
            known.add("masks")
    return known


def choose_methods(asked: Sequence[str], data: DebiasData) -> Admitted:
    """Return which of the methods asked for may run; ``auto`` asks for the sensible ones.

    Raises:
        UnknownNameError: no such method; suggests the nearest.
    """
    automatic = list(asked) == ["auto"]
    known = known_needs(data)
    possible = data.alignment is None or data.alignment.reweighting_possible
    names = list(CHEAP) if automatic else list(dict.fromkeys(asked))
    kept, refused = [], []
    for name in names:
        row = get_debias_method(name)
        missing = [need for need in row.needs if need not in known]
        if missing:
            if not automatic:
                refused.append(_lacking(name, missing, known))
        elif name != "erm" and not possible and not row.full_alignment:
            advice = data.alignment.advice if data.alignment is not None else ""
            others = [
                m.name for m in METHODS.values() if m.full_alignment and set(m.needs) <= known
            ]
            refused.append(
                Refused(
                    name=name,
                    gate="alignment",
                    reason=advice,
                    instead=", ".join(others) or "images without the cue, or a mask of it",
                )
            )
        else:
            kept.append(name)
    return Admitted(tuple(kept), tuple(refused))


def _lacking(name: str, missing: Sequence[Need], known: set[Need]) -> Refused:
    others = [
        m.name
        for m in METHODS.values()
        if m.needs and set(m.needs) <= known - set(ALWAYS) and m.name != name
    ]
    return Refused(
        name=name,
        gate="needs",
        reason=f"it needs {'; and '.join(NEEDS[need] for need in missing)}, which is not known "
        "here",
        instead=", ".join(others),
    )


def gate_errors(
    method: str,
    data: DebiasData,
    table: FeatureTable,
    given: Mapping[str, Any],
) -> GateDecision:
    """Decide whether the errors of the model before may stand for the conflicting images.

    The set that a method would use is the one that is judged: for ``jtt`` the errors among the
    training images, for ``afr``, which refits on validation images, those among the validation
    images, brought to the base rate of the training images.

    Args:
        method: which guesses groups.
        data: with groups where they are known.
        table: of the images :func:`errors_part` names, under the model before.
        given: the method's parameters; ``force=True`` opens the gate.
    """
    wrong = error_set(table.logits.argmax(dim=1).numpy(), table.labels.numpy())
    force, aligned = bool(given.get("force", False)), data.alignment
    if errors_part(method) == "train":
        truth = None
        if aligned is not None:
            kind = aligned.kind[table.indices.numpy()]
            truth = np.where(kind < 0, -1, kind == CONFLICTING).astype(np.int64)
        return gate_error_set(wrong, truth, source="training groups", force=force)
    truth = rate = None
    part = data.validation
    if part.agreeing is not None and part.groups is not None and aligned is not None:
        truth = conflicting(data)[table.indices.numpy()]
        judged = aligned.kind >= 0
        rate = float(aligned.conflicting[judged].mean()) if judged.any() else None
    usable = rate if rate is not None and 0 < rate < 1 else None
    return gate_error_set(wrong, truth, base_rate=usable, force=force)


def errors_part(method: str) -> Literal["train", "validation"]:
    """Return the part whose errors a method uses as its guess of the conflicting images."""
    return "train" if method == "jtt" else "validation"


def closed_gate(method: str, decision: GateDecision) -> Refused:
    """Return the refusal of a method whose guess was judged too bad."""
    return Refused(
        name=method,
        gate="guessed groups",
        reason=decision.reason,
        instead="dfr, projection or cue_augmentation, or --methods "
        f"{method}:force=True to run it all the same",
    )


def conflicting(data: DebiasData) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return 1 where a validation image's cue speaks for another class, 0, or -1 = unknown."""
    part = data.validation
    if part.raw is None or part.agreeing is None:
        return np.full(len(part), -1, dtype=np.int64)
    found = np.where(part.raw == part.agreeing, 0, 1)
    if data.absent is not None:
        found = np.where(part.raw == data.absent, 0, found)
    return np.where(part.raw < 0, -1, found).astype(np.int64)


def head_refusal(methods: Sequence[str], classifier: Classifier) -> tuple[Refused, ...]:
    """Return why head methods cannot run on a classifier without a linear head, if so."""
    heads = [name for name in methods if METHODS[name].kind == "head"]
    if not heads:
        return ()
    try:
        read_head(classifier)
    except LayerError as error:
        return tuple(
            Refused(name=name, gate="needs", reason=error.message, instead="training methods")
            for name in heads
        )
    return ()
