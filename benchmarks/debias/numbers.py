"""What the answers of a classifier are worth, for the images as they are and resampled."""

import numpy as np

from benchmarks.debias.shown_ways import Answers

ALIGNED, CONFLICT, WITHOUT = 0, 1, 2
BINS = 15
METRICS = {
    "worst": "worst group: the lowest accuracy over class x (aligned, conflict)",
    "average": "mean accuracy over these groups",
    "gap": "highest minus lowest accuracy over these groups",
    "aligned": "accuracy with the cue of the own class",
    "conflict": "accuracy with the cue of another class",
    "without": "accuracy without the cue",
    "flip": "share of images whose answer changes to a conflicting cue's class when it is put in",
    "follow": "share of images with a conflicting cue that are called the cue's class",
    "precision": "mean precision over classes, without the cue",
    "ece": "expected calibration error (15 bins), without the cue",
    "ece_conflict": "the same with a conflicting cue",
}
"""Name -> meaning. Lower is better for gap, flip, follow and both calibration errors."""


def draws(labels: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Return how often each image is in each bootstrap sample, drawn within its class.

    Returns:
        ``float64[count, images]``.
    """
    rng = np.random.default_rng(seed)
    made = np.zeros((count, len(labels)))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        made[:, members] = rng.multinomial(
            len(members), np.full(len(members), 1 / len(members)), count
        )
    return made


def measure(answers: Answers, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Return every metric, for all images once or for each row of bootstrap weights.

    Args:
        answers: of one classifier.
        weights: ``float64[samples, images]`` from :func:`draws`; None: each image once.

    Returns:
        ``float64[samples]`` per metric.
    """
    labels = answers.labels
    if weights is None:
        weights = np.ones((1, len(labels)))
    total = weights.sum(axis=1)
    guess = answers.probabilities.argmax(axis=2)
    right = guess == labels
    member = (labels[:, None] == np.unique(labels)).astype(np.float64)
    size = weights @ member
    groups = np.concatenate(
        [weights @ (member * right[way][:, None]) / size for way in (ALIGNED, CONFLICT)], axis=1
    )

    def share(flags: np.ndarray) -> np.ndarray:
        return weights @ flags.astype(np.float64) / total

    to_cue = guess[CONFLICT] == answers.cue_class
    return {
        "worst": groups.min(axis=1),
        "average": groups.mean(axis=1),
        "gap": groups.max(axis=1) - groups.min(axis=1),
        "aligned": share(right[ALIGNED]),
        "conflict": share(right[CONFLICT]),
        "without": share(right[WITHOUT]),
        "flip": share(to_cue & (guess[WITHOUT] != answers.cue_class)),
        "follow": share(to_cue),
        "precision": _precision(guess[WITHOUT], labels, weights),
        "ece": _calibration_error(answers.probabilities[WITHOUT], labels, weights),
        "ece_conflict": _calibration_error(answers.probabilities[CONFLICT], labels, weights),
    }


def _precision(guess: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean precision over classes; 0 for a class that is never predicted."""
    classes = np.unique(labels)
    said = (guess[:, None] == classes).astype(np.float64)
    hits = weights @ (said * (labels[:, None] == classes))
    return (hits / np.maximum(weights @ said, 1)).mean(axis=1)


def _calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    confidence = probabilities.max(axis=1)
    gap = (probabilities.argmax(axis=1) == labels) - confidence
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    cells = np.zeros((len(labels), BINS))
    cells[np.arange(len(labels)), place] = gap
    return np.abs(weights @ cells).sum(axis=1) / weights.sum(axis=1)
