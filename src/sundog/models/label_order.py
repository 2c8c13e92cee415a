"""Are the classes in the right order? Another order that explains the predictions much better.

A classifier whose output columns are read as the wrong classes is right as often as chance has it,
and its errors are always the same. The order that fits the confusion matrix best (Hungarian
assignment) is fitted on one half of the images and tested on the other; orders that have a name
(alphabetical, shifted by a background class, ...) need no fitting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.core.statistics import Estimate, holm, paired_proportions, wilson_interval
from sundog.models.order_names import named_orders, order_words

LEAST_IMAGES = 20
"""Fewer labelled images cannot tell."""
LEAST_MOVED = 3
"""Images that a moved group of classes must win in the half that it is fitted on."""
MOVED_SHARE = 0.25
"""Share of the images of a moved group of classes that it must win there."""
ALIKE = 0.02
"""Orders whose accuracy differs by no more explain the predictions alike."""
OTHER_COLUMNS_GAIN = 0.2
"""Columns that were not asked for must win this share: a near synonym among them wins a few."""

Scores = Float[np.ndarray, "images columns"]
Classes = Int64[np.ndarray, "images"]


@dataclass(frozen=True)
class OrderTrial:
    """One other order of the classes, tested.

    Attributes:
        name: ``fitted``, ``alphabetical``, ``numeric``, ``reversed``, ``shifted by 1``, ...
        words: what it is, with names of classes.
        columns: of the network's outputs, one per class, as this order has it.
        accuracy: share right in this order, on the images that it was not fitted on.
        difference: accuracy in this order minus as given, same images; > 0: this order is better.
        p_value: McNemar's exact test.
        adjusted: p-value after Holm over all orders that were tested.
    """

    name: str
    words: str
    columns: tuple[int, ...]
    accuracy: Estimate
    difference: Estimate
    p_value: float
    adjusted: float


@dataclass(frozen=True)
class OrderTest:
    """Whether another order explains the predictions better.

    Attributes:
        accuracy: as given, on all labelled images.
        chance: accuracy of guessing among the classes.
        trials: every order that was tested.
        best: the one to take; None if none is better.
        enough: whether there were enough images to tell.
        columns: of the network's outputs, one per class, as given.
    """

    accuracy: Estimate
    chance: float
    trials: tuple[OrderTrial, ...]
    best: OrderTrial | None
    enough: bool
    columns: tuple[int, ...]


def check_label_order(
    scores: Scores,
    labels: Classes,
    *,
    columns: Sequence[int],
    names: Sequence[str],
    alpha: float = 0.01,
    seed: int = 0,
) -> OrderTest:
    """Look for an order of the classes that explains the predictions better than the given one.

    Args:
        scores: logits of all the network's outputs.
        labels: class of each image in 0..k - 1, -1 = unlabelled (left out).
        columns: the output of each class as given, k of them.
        names: of the classes.
        alpha: an order is found only if its adjusted p-value is at most this.
        seed: of the halves.

    Raises:
        InputError: shapes that do not fit, or a label out of range.
    """
    given = np.asarray(columns, dtype=np.int64)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or len(names) != len(given):
        raise InputError(
            "scores, labels and names",
            expected="[n, columns], [n] and one name per class",
            got=f"{scores.shape}, {labels.shape}, {len(names)} names for {len(given)} classes",
        )
    known = labels >= 0
    scores, labels = scores[known], labels[known]
    if labels.size and int(labels.max()) >= len(given):
        raise InputError(
            "labels", expected=f"in 0..{len(given) - 1}, or -1", got=f"up to {int(labels.max())}"
        )
    right = _right(scores, labels, given)
    accuracy = wilson_interval(int(right.sum()), right.size)
    chance = 1 / max(len(given), 1)
    present = np.unique(labels)
    if labels.size < LEAST_IMAGES or present.size < 2:
        return OrderTest(accuracy, chance, (), None, enough=False, columns=tuple(columns))
    fit, test = _halves(labels, seed)
    orders = [
        (name, order, np.arange(labels.size))
        for name, order in named_orders(names, given, total=scores.shape[1])
    ]
    fitted = fit_order(scores[fit], labels[fit], given)
    if all((fitted != order).any() for order in (given, *(o for _, o, _ in orders))):
        orders.append(("fitted", fitted, test))
    if scores.shape[1] > len(given):
        wider = fit_columns(scores[fit], labels[fit], given)
        if all((wider != order).any() for order in (given, *(o for _, o, _ in orders))):
            orders.append(("other columns", wider, test))
    trials = _test(scores, labels, given, orders, names)
    held = [float(_right(scores[test], labels[test], order).mean()) for _, order, _ in orders]
    best = _best(trials, held, alpha, chance)
    return OrderTest(accuracy, chance, trials, best, enough=True, columns=tuple(columns))


@dataclass(frozen=True)
class FoundColumns:
    """Which outputs the classes are, fitted on one half of the images and tested on the other.

    Attributes:
        columns: one per class.
        accuracy: share right among these columns, on the tested half.
        chance: accuracy of columns that have nothing to do with the classes.
        p_value: exact binomial test of ``accuracy > chance``.
        convincing: whether they are the classes' outputs: the p-value is small, and the accuracy
            surely that of a network that knows the classes.
    """

    columns: tuple[int, ...]
    accuracy: Estimate
    chance: float
    p_value: float
    convincing: bool


def find_columns(
    scores: Scores, labels: Classes, *, classes: int, alpha: float = 0.01, seed: int = 0
) -> FoundColumns | None:
    """Return the outputs that fit the classes best, where no names say which they are.

    Args:
        scores: logits of all the network's outputs, at least as many as classes.
        labels: class of each image in 0..classes - 1, -1 = unlabelled (left out).
        classes: number of the images' classes.
        alpha: of the evidence.
        seed: of the halves.

    Returns:
        None for too few labelled images, or fewer outputs than classes.
    """
    known = labels >= 0
    scores, labels = scores[known], labels[known]
    if labels.size < LEAST_IMAGES or len(set(labels.tolist())) < 2 or scores.shape[1] < classes:
        return None
    fit, test = _halves(labels, seed)
    columns = fit_columns(scores[fit], labels[fit], np.arange(classes))
    right = _right(scores[test], labels[test], columns)
    # An answer that is the same for all is right as often as its class is there.
    chance = max(1 / classes, float(np.bincount(labels[test]).max()) / labels[test].size)
    p = stats.binomtest(int(right.sum()), right.size, chance, alternative="greater").pvalue
    accuracy = wilson_interval(int(right.sum()), right.size)
    return FoundColumns(
        columns=tuple(int(c) for c in columns),
        accuracy=accuracy,
        chance=chance,
        p_value=float(p),
        convincing=bool(p <= alpha) and knows(accuracy, chance),
    )


def knows(accuracy: Estimate, chance: float) -> bool:
    """Return whether an accuracy is surely that of a network that was trained on the classes.

    Random networks are right more often than chance in the order that fits them best: their
    outputs are some features of the image. The interval must lie above halfway to 1.
    """
    return accuracy.low >= (1 + chance) / 2


def fit_order(scores: Scores, labels: Classes, given: Int64[np.ndarray, "classes"]) -> Classes:
    """Return the order of the given columns that fits best, as columns of the classes.

    The Hungarian assignment on the confusion matrix. Classes move in cycles; a cycle that wins few
    images is put back.

    Args:
        scores: logits of all outputs.
        labels: class of each image.
        given: the output of each class as given.
    """
    count = len(given)
    predicted = scores[:, given].argmax(axis=1)
    confusion = np.zeros((count, count))
    np.add.at(confusion, (labels, predicted), 1.0)
    # A tiny reward for staying: classes without evidence do not move.
    confusion += 1e-3 * np.eye(count)
    _, place = linear_sum_assignment(confusion, maximize=True)
    for cycle in cycles(place):
        won = confusion[cycle, place[cycle]].sum() - confusion[cycle, cycle].sum()
        images = float(np.isin(labels, cycle).sum())
        if won < max(LEAST_MOVED, MOVED_SHARE * images):
            place[cycle] = cycle
    return given[place]


def fit_columns(scores: Scores, labels: Classes, given: Int64[np.ndarray, "classes"]) -> Classes:
    """Return the columns, of all the network's outputs, that fit the labelled classes best.

    Classes without an image keep their column if it is free, else get one that is free.

    Args:
        scores: logits of all outputs.
        labels: class of each image.
        given: the output of each class as given, or any columns to start from.
    """
    shares = softmax(scores, axis=1)
    present = np.unique(labels)
    sums = np.stack([shares[labels == label].sum(axis=0) for label in present])
    sums[np.arange(len(present)), given[present]] += 1e-3
    _, place = linear_sum_assignment(sums, maximize=True)
    found = given.copy()
    found[present] = place
    taken = set(place.tolist())
    free = [c for c in range(scores.shape[1]) if c not in taken and c not in set(given.tolist())]
    for label in np.setdiff1d(np.arange(len(given)), present).tolist():
        if int(found[label]) in taken:
            found[label] = free.pop(0)
        taken.add(int(found[label]))
    return found


def cycles(place: Int64[np.ndarray, "classes"]) -> list[Int64[np.ndarray, "moved"]]:
    """Return the cycles of a permutation that move anything, in order of their first member."""
    seen: set[int] = set()
    found = []
    for start in range(len(place)):
        cycle = []
        here = start
        while here not in seen:
            seen.add(here)
            cycle.append(here)
            here = int(place[here])
        if len(cycle) > 1:
            found.append(np.array(cycle))
    return found


def _right(scores: Scores, labels: Classes, columns: Classes) -> np.ndarray:
    return scores[:, columns].argmax(axis=1) == labels


def _halves(labels: Classes, seed: int) -> tuple[Classes, Classes]:
    """Split every class in two, drawn from the seed; an odd image goes to the tested half."""
    rng = np.random.default_rng(derive_seed(seed, "label order"))
    fit = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        fit.append(members[: len(members) // 2])
    chosen = np.sort(np.concatenate(fit))
    return chosen, np.setdiff1d(np.arange(labels.size), chosen)


def _test(
    scores: Scores,
    labels: Classes,
    given: Classes,
    orders: Sequence[tuple[str, Classes, Classes]],
    names: Sequence[str],
) -> tuple[OrderTrial, ...]:
    pairs = []
    for _, order, rows in orders:
        ours = _right(scores[rows], labels[rows], order)
        pairs.append((ours, paired_proportions(ours, _right(scores[rows], labels[rows], given))))
    adjusted = holm([pair.p_value for _, pair in pairs])
    return tuple(
        OrderTrial(
            name=name,
            words=order_words(name, order, given, names),
            columns=tuple(int(c) for c in order),
            accuracy=wilson_interval(int(ours.sum()), ours.size),
            difference=pair.difference,
            p_value=pair.p_value,
            adjusted=float(p),
        )
        for (name, order, _), (ours, pair), p in zip(orders, pairs, adjusted, strict=True)
    )


def _best(
    trials: Sequence[OrderTrial], held: Sequence[float], alpha: float, chance: float
) -> OrderTrial | None:
    """Return the best of the orders that are better; a named one before a fitted one.

    ``held``: the accuracy of each on the images that nothing was fitted on.
    """
    better = [
        (trial, accuracy)
        for trial, accuracy in zip(trials, held, strict=True)
        if trial.adjusted <= alpha
        and trial.difference.low > 0
        and (
            trial.name != "other columns"
            or (trial.difference.value >= OTHER_COLUMNS_GAIN and knows(trial.accuracy, chance))
        )
    ]
    if not better:
        return None
    top = max(accuracy for _, accuracy in better)
    fitted = ("fitted", "other columns")
    best, _ = max(
        ((trial, accuracy) for trial, accuracy in better if accuracy >= top - ALIKE),
        key=lambda pair: (pair[0].name not in fitted, pair[0].name != "other columns", pair[1]),
    )
    return best
