"""Which groups a choice is made by: all of them, or pooled over classes where they are small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sundog.audit.debias_data import DebiasData
from sundog.audit.debias_measure import Measured, group_names
from sundog.audit.debias_summary import Answers, Choice, choose
from sundog.debias.registry import METHODS

SMALL = 30
"""The worst of many groups with fewer images is mostly luck; pooled over classes it is not."""


def decide(data: DebiasData, before: Answers, after: Mapping[str, Answers]) -> Choice | None:
    """Choose a method by the validation images, see :func:`choose`; None if none was tried.

    Where the smallest group has fewer than 30 validation images, the groups of one attribute value
    are pooled over the classes (all aligned, all conflicting images): with twenty groups of twenty
    images no repair, however large, could be told from luck by the worst of them.

    Args:
        data: the three parts.
        before: answers of the model before.
        after: method → answers, plain training (``erm``) among them if it was run.
    """
    tried = {name: found for name, found in after.items() if name != "erm"}
    if not tried:
        return None
    names, plain = group_names(data.validation, data.class_names), after.get("erm")
    groups = data.validation.groups
    note = ""
    if groups is not None and len(data.attribute_names) > 1:
        known = before.validation[0].groups
        counts = np.bincount(known[known >= 0], minlength=len(names))
        smallest = int(counts[counts > 0].min())
        if smallest < SMALL:
            kinds = len(data.attribute_names)
            before, plain = _pooled(before, kinds), None if plain is None else _pooled(plain, kinds)
            tried = {name: _pooled(found, kinds) for name, found in tried.items()}
            names = data.attribute_names
            note = (
                f" The smallest group has {smallest} validation images: for the choice, groups "
                f"were pooled over the classes ({', '.join(names[:6])})."
            )
    found = choose(
        before,
        tried,
        names,
        data.class_names,
        grouped=groups is not None,
        plain=plain,
        trained=[name for name in tried if METHODS[name].kind != "head"],
    )
    return replace(found, statement=found.statement + note)


def _pooled(answers: Answers, kinds: int) -> Answers:
    return replace(answers, validation=[_by_attribute(m, kinds) for m in answers.validation])


def _by_attribute(found: Measured, kinds: int) -> Measured:
    return replace(found, groups=np.where(found.groups >= 0, found.groups % kinds, -1))
