"""The doctor's checks of the labels: counts by class, names, and the order of the classes."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from sundog.audit.align import align_labels, match_classes
from sundog.audit.doctor_result import Check
from sundog.core.errors import DataError
from sundog.data.image_set import ImageSet
from sundog.models.label_order import FoundColumns, OrderTest, OrderTrial, knows
from sundog.models.order_names import names_by_column

FEW = 10
"""Images of a class below which nothing can be said of it."""
SKEWED = 10.0
"""Largest over smallest class from which classes count as out of balance."""
SHOWN = 5
_WORDNET = re.compile(r"n\d{8}")


@dataclass(frozen=True, eq=False)
class Aligned:
    """The labels as the classifier numbers them.

    Attributes:
        labels: ``int64[images]`` of the whole set, -1 where there is none.
        names: of the classifier's classes, or what stands for them.
        by_name: whether the names agreed; False: the numbers were taken, to ask the predictions.
        usable: whether labels and outputs could be brought together at all.
        checks: of names and numbers.
    """

    labels: Int64[np.ndarray, "images"]
    names: tuple[str, ...]
    by_name: bool
    usable: bool
    checks: tuple[Check, ...]


def count_checks(images: ImageSet, *, complete: bool) -> list[Check]:
    """Return the checks of how many images each class has.

    Args:
        images: the whole set.
        complete: whether every image was opened; else the classes were evened out by the draw.
    """
    n, unlabelled = len(images), int((images.labels < 0).sum())
    found = [
        Check(
            "labels: there",
            "ok" if unlabelled == 0 else "warn",
            f"{n - unlabelled} of {n} images have a label",
            "all",
            "" if not unlabelled else "without labels no accuracy, gap or bias can be measured",
        )
    ]
    if unlabelled == n:
        return found
    counts, empty = images.class_counts, images.empty_classes
    few = [
        f"{name} ({count})"
        for name, count in zip(images.class_names, counts.tolist(), strict=True)
        if 0 < count < FEW
    ]
    text = f"{len(counts)} classes, {int(counts.min())} to {int(counts.max())} images"
    if empty:
        text += f"; without an image: {_list(empty)}"
    if few:
        text += f"; below {FEW}: {_list(few)}"
    present = int((counts > 0).sum())
    found.append(
        Check(
            "labels: classes",
            "fail" if present < 2 else "warn" if empty or few else "ok",
            text,
            f"at least two classes, {FEW} images and more of each",
            "add images, or leave the class out: nothing can be said of it" if empty or few else "",
        )
    )
    shares = counts[counts > 0]
    ratio = float(shares.max() / shares.min())
    found.append(
        Check(
            "labels: balance",
            "warn" if ratio > SKEWED and complete else "ok" if complete else "skipped",
            f"the largest class has {ratio:.3g} times the images of the smallest"
            if complete
            else "the images were drawn evenly by class",
            f"at most {SKEWED:.0f} times",
            "look at accuracy by class, not at its mean" if ratio > SKEWED and complete else "",
        )
    )
    return found


def align(images: ImageSet, *, classifier_names: Sequence[str] | None, outputs: int) -> Aligned:
    """Bring labels and outputs together by name; by number where the names do not agree.

    Args:
        images: the whole set.
        classifier_names: of the classifier's classes, or None.
        outputs: number of the classifier's classes.
    """
    own = images.class_names
    expected = "every class of the images is one of the classifier's"
    unlabelled = np.full(len(images), -1, dtype=np.int64)
    names = tuple(classifier_names) if classifier_names is not None else ()
    if not (images.labels >= 0).any():
        check = Check("labels: names", "skipped", "no image has a label", expected)
        return Aligned(unlabelled, names or _numbers(outputs), True, False, (check,))
    try:
        labels = align_labels(
            images.labels,
            set_names=own,
            classifier_names=classifier_names,
            class_count=outputs,
        )
    except DataError:
        fits = len(own) == outputs
        check = Check(
            "labels: names",
            "fail",
            _mismatch(own, classifier_names, outputs),
            expected,
            _names_advice(own, classifier_names, outputs),
        )
        taken = images.labels.copy() if fits else unlabelled
        return Aligned(taken, own if fits else names or _numbers(outputs), False, fits, (check,))
    if classifier_names is None:
        check = Check(
            "labels: names",
            "ok",
            f"the classifier's {outputs} classes have no names: numbers are taken to agree",
            expected,
        )
        return Aligned(labels, own, False, True, (check,))
    used = len(np.unique(labels[labels >= 0]))
    check = Check(
        "labels: names", "ok", f"{used} of {outputs} outputs are matched by name", expected
    )
    return Aligned(labels, names, True, True, (check,))


def order_check(test: OrderTest, names: Sequence[str], *, by_name: bool, fed: str = "") -> Check:
    """Return the check of the order of the classes.

    Args:
        test: of the predictions.
        names: of the classes.
        by_name: whether labels and outputs were matched by name.
        fed: how the images were fed, if not as given.
    """
    name, expected = "labels: order", "the given order explains the predictions best"
    accuracy = test.accuracy
    right = f"{accuracy.value:.1%} [{accuracy.low:.1%}, {accuracy.high:.1%}] (n = {accuracy.n})"
    text = f"accuracy {right}, chance {test.chance:.1%}{fed}"
    if not test.enough:
        return Check(
            name,
            "unsure",
            f"cannot tell from {accuracy.n} labelled images",
            expected,
            "give more labelled images of at least two classes",
            {"accuracy": accuracy},
        )
    if test.best is not None:
        return _wrong_order(test, test.best, names, right + fed)
    tried = len(test.trials)
    if accuracy.low <= test.chance:
        return Check(
            name,
            "unsure",
            f"{text}; none of {tried} other orders is better",
            expected,
            "the predictions say nothing of the labels: look at weights and normalisation",
            {"accuracy": accuracy},
        )
    how = "matched by name" if by_name else "matched by number"
    return Check(
        name,
        "ok",
        f"{text}, {how}; none of {tried} other orders is better",
        expected,
        measured={"accuracy": accuracy},
    )


def columns_check(found: FoundColumns | None, names: Sequence[str]) -> Check:
    """Return which outputs the classes are, as the predictions tell, where names do not.

    Args:
        found: by the predictions; None if there was nothing to ask.
        names: of the images' classes.
    """
    name, expected = "labels: order", "the predictions tell which output each class is"
    if found is None:
        return Check(name, "skipped", "too few labelled images, or outputs", expected)
    accuracy = found.accuracy
    text = (
        f"the outputs that fit best are right in {accuracy.value:.1%} [{accuracy.low:.1%}, "
        f"{accuracy.high:.1%}] of the other half (n = {accuracy.n}), chance {found.chance:.1%}"
    )
    if not found.convincing:
        advice = "too seldom right to tell: look at weights and normalisation"
        return Check(name, "unsure", text, expected, advice, {"accuracy": accuracy})
    order = np.array(found.columns)
    told = shlex.quote(",".join(names_by_column(order, names)))
    numbers = ",".join(str(c) for c in sorted(found.columns))
    return Check(
        name,
        "warn",
        f"{text}, p = {found.p_value:.2g}",
        expected,
        f"--classes {numbers} --class-names {told}",
        {"accuracy": accuracy},
    )


def _wrong_order(test: OrderTest, best: OrderTrial, names: Sequence[str], right: str) -> Check:
    gain = best.difference
    sure = knows(best.accuracy, test.chance)
    return Check(
        "labels: order",
        "fail" if sure else "warn",
        f"{best.words}: accuracy {best.accuracy.value:.1%} instead of {right}; difference "
        f"{100 * gain.value:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}] "
        f"(n = {gain.n}), p = {best.adjusted:.2g} (McNemar, Holm over {len(test.trials)})",
        "the given order explains the predictions best",
        order_fix(best, test.columns, names)
        + ("" if sure else ", if the network was trained on these classes at all"),
        {"accuracy": test.accuracy, "accuracy in that order": best.accuracy, "difference": gain},
    )


def order_fix(best: OrderTrial, given: Sequence[int], names: Sequence[str]) -> str:
    """Return the options that put the classes in the found order.

    Args:
        best: the found order.
        given: the outputs as given.
        names: of the classes.
    """
    told = shlex.quote(",".join(names_by_column(np.array(best.columns), names)))
    if set(best.columns) != set(given):
        return f"--classes {','.join(str(c) for c in sorted(best.columns))} --class-names {told}"
    return f"--class-names {told}"


def _mismatch(own: Sequence[str], names: Sequence[str] | None, outputs: int) -> str:
    if names is None:
        return f"{len(own)} classes, and {outputs} outputs without names"
    matched = match_classes(own, names)
    missing = [name for place, name in enumerate(own) if place not in matched]
    shown = []
    for name in missing[: SHOWN + 1]:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        shown.append(f"{name} ({near[0]}?)" if near else name)
    return f"{len(missing)} of {len(own)} classes are no output's: {_list(shown, len(missing))}"


def _names_advice(own: Sequence[str], names: Sequence[str] | None, outputs: int) -> str:
    if own and all(_WORDNET.fullmatch(name) for name in own):
        return (
            "the folders are called by WordNet ids: rename them, or give --classes (numbers) "
            "and --class-names (the ids) together"
        )
    if names is None and len(own) < outputs:
        return "--classes (numbers of the outputs) with --class-names (the images' classes)"
    if len(own) == outputs:
        return "--class-names, in the order of the outputs (see 'labels: order')"
    return "rename the folders, choose outputs with --classes, or name them with --class-names"


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(str(index) for index in range(count))


def _list(names: Sequence[str], total: int | None = None) -> str:
    count = len(names) if total is None else total
    more = f" and {count - SHOWN} more" if count > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
