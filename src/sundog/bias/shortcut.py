"""Find a cue that nobody named: move components between images and see whose class follows.

A shortcut is a small part or a shallow property that, moved into another image, drags the
prediction along. Hints (maps, repeated pixels, stamps, clusters of maps) only propose *what* to
move; what decides is the pull of the move against the same move from a donor of the target's own
class, on images that proposed nothing, corrected over everything that was tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from sundog.bias.shortcut_candidate import Candidate
from sundog.bias.shortcut_confirm import Tested, choose_claims, correct, try_candidate
from sundog.bias.shortcut_describe import describe
from sundog.bias.shortcut_effect import probabilities
from sundog.bias.shortcut_grid import Box
from sundog.bias.shortcut_peaks import Attribute
from sundog.bias.shortcut_propose import propose
from sundog.bias.shortcut_repeat import repeat_map
from sundog.bias.shortcut_result import ShortcutSearch
from sundog.bias.shortcut_screen import Bench, Screened, screen
from sundog.core.errors import InputError
from sundog.core.progress import make_progress
from sundog.core.seeds import derive_seed
from sundog.core.shapes import Images, Labels
from sundog.data.components.component import Component
from sundog.models.classifier import Classifier

SCREEN_PAIRS = 50
CONFIRM_PAIRS = 360
CLASS_PAIRS = 120
HOPELESS_PAIRS = 80
"""Pairs for a candidate whose screening shows nothing: enough for an interval in the table."""
LEAST_IMAGES = 20


def find_shortcuts(
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    attribute: Attribute | None = None,
    boxes: Sequence[Box] = (),
    stamps: Mapping[str, Component] | None = None,
    class_names: Sequence[str] | None = None,
    smallest: float = 0.05,
    alpha: float = 0.05,
    examples: int = 4,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool | None = None,
) -> ShortcutSearch:
    """Find components that drag the prediction with them, and prove it on fresh images.

    Two fifths of the images propose and screen; the others decide. *Candidates*: windows and
    strips at fixed places, boxes of pixels that a class repeats, the box where the map of each
    image peaks, recognised stamps and marks, frames, surrounds, and properties of the whole image
    (colour, light, detail, compression, placement), pairs of the strongest. *Test*: the component
    of a donor of another class against that of a donor of the target's own class, moved into the
    same target; ``pull`` = mean shift of probability from the label to the donor's class;
    one-sided against the pull that sound models show (``MARGINS``; more for a single class), Holm
    over all tests, weighted by screening. What keeps less than half of its pull once stronger cues
    are put back is explained.

    It can find only what the images carry: a cue that none of them shows cannot be moved.

    Args:
        classifier: in eval mode.
        images: ``float32[images, 3, height, width]`` in [0, 1], on the CPU, drawn as the images
            that the classifier is used on.
        labels: ``int64[images]``, -1 = unlabelled (left out).
        attribute: maps of the prediction, for the peaks; None leaves them out.
        boxes: proposed by others, (top, left, height, width) as shares.
        stamps: name -> a component of the family ``stamp``, proposed by others.
        class_names: for messages; numbers if None.
        smallest: flips in excess of the control below which a cue does not matter; in (0, 1).
        alpha: bound of the probability of any false claim.
        examples: transplants kept to look at, per cue.
        seed: of all draws.
        batch_size: images at once; the result does not depend on it.
        progress: None shows it on a terminal.

    Returns:
        Claimed cues and every test.

    Raises:
        InputError: bad images or labels, fewer than 20 labelled images or than two classes, alpha
            or smallest out of range.

    Source: Adebayo et al., 2022, arXiv 2212.04629 (maps alone mislead); Lapuschkin et al., 2019,
    arXiv 1902.10178 (clusters of maps as hints); Holm, 1979.
    """
    images, labels = _checked(images, labels, alpha=alpha, smallest=smallest)
    classifier.require_eval()
    plain = probabilities(classifier, images, batch_size=batch_size)
    bench = Bench(classifier, images, labels, plain, batch_size, seed, [len(images)])
    first, second = split_halves(labels, seed=seed)
    repeats = repeat_map(images[torch.from_numpy(first)], labels.numpy()[first])
    with make_progress(visible=progress) as bar:
        task = bar.add_task("screening components", total=None)

        def look(candidate: Candidate) -> Screened:
            bar.advance(task)
            return screen(bench, candidate, first, most=SCREEN_PAIRS)

        kept = propose(
            bench,
            look,
            repeats=repeats,
            among=first,
            attribute=attribute,
            boxes=boxes,
            stamps=stamps or {},
        )
        bar.update(task, description="testing components", total=len(kept), completed=0)
        tests: list[Tested] = []
        for screened in kept:
            tests += _tests(bench, screened, second)
            bar.advance(task)
        tests = correct(tests, alpha=alpha)
        claims, explained = choose_claims(bench, tests, alpha=alpha)
        strong = [c for c in claims if float(c.effect.pull.mean()) >= smallest]
        bar.update(task, description="describing cues", total=len(strong), completed=0)
        shortcuts = []
        for claim in strong:
            level = 1 - alpha / max(len(tests), 1)
            shortcuts.append(
                describe(bench, claim, repeats=repeats, level=level, examples=examples)
            )
            bar.advance(task)
    return ShortcutSearch(
        shortcuts=tuple(shortcuts),
        table=_table(tests, strong, explained, alpha=alpha),
        smallest=smallest,
        alpha=alpha,
        images=len(images),
        forwards=bench.spent[0],
        notes=tuple(_notes(bench, tests, second, class_names)),
    )


def _checked(
    images: Images, labels: Labels, *, alpha: float, smallest: float
) -> tuple[Images, Labels]:
    for name, value in (("alpha", alpha), ("smallest", smallest)):
        if not 0 < value < 1:
            raise InputError(name, expected="between 0 and 1", got=str(value))
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3:
        got = str(tuple(images.shape)) if isinstance(images, Tensor) else type(images).__name__
        raise InputError("images", expected="a tensor [images, 3, height, width]", got=got)
    labels = torch.as_tensor(labels, dtype=torch.int64).cpu()
    if tuple(labels.shape) != (len(images),):
        raise InputError(
            "labels", expected=f"one per image ({len(images)},)", got=str(tuple(labels.shape))
        )
    images = images.detach().cpu()[labels >= 0]
    labels = labels[labels >= 0]
    if len(images) < LEAST_IMAGES or _class_count(labels) < 2:
        raise InputError(
            "images",
            expected=f"at least {LEAST_IMAGES} labelled images of at least two classes",
            got=f"{len(images)} of {_class_count(labels)} classes",
            hint="Components are moved between images of different classes.",
        )
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            "images", expected="finite and in [0, 1]", got=f"values from {low:.4g} to {high:.4g}"
        )
    return images.float(), labels


def _class_count(labels: Labels) -> int:
    return len(np.unique(labels.numpy()))


def split_halves(
    labels: Labels, *, seed: int
) -> tuple[Bool[np.ndarray, "images"], Bool[np.ndarray, "images"]]:
    """Split every class: two fifths propose and screen, three fifths decide.

    Whoever proposes boxes or stamps should look at the first part alone, with the same seed.

    Args:
        labels: ``int64[images]``, all labelled.
        seed: that of :func:`find_shortcuts`.
    """
    random = np.random.default_rng(derive_seed(seed, "halves"))
    first = np.zeros(len(labels), dtype=bool)
    codes = labels.numpy()
    for code in np.unique(codes):
        mine = random.permutation(np.flatnonzero(codes == code))
        first[mine[: max(2, round(0.4 * len(mine)))]] = True
    return first, ~first


def _tests(bench: Bench, screened: Screened, among: Bool[np.ndarray, "images"]) -> list[Tested]:
    """Test a candidate over all donor classes, and for the class that stood out in screening."""
    candidate = screened.candidate
    if screened.hopeless:
        found = [try_candidate(bench, candidate, among, most=HOPELESS_PAIRS)]
    else:
        found = [try_candidate(bench, candidate, among, most=CONFIRM_PAIRS)]
        alone = candidate.family != "mark"  # the mark of one class may be its object
        if alone and screened.best_class is not None and _class_count(bench.labels) > 2:
            one = screened.best_class
            found.append(try_candidate(bench, candidate, among, most=CLASS_PAIRS, class_index=one))
    return [
        replace(test, prior=screened.pooled if test.class_index is None else screened.alone)
        for test in found
        if test is not None
    ]


def _table(
    tests: Sequence[Tested], claims: Sequence[Tested], explained: Mapping[int, str], *, alpha: float
) -> pd.DataFrame:
    claimed = {id(test) for test in claims}
    level = 1 - alpha / max(len(tests), 1)
    rows = []
    for test in sorted(tests, key=lambda t: (t.p_adjusted, t.p)):
        excess = test.effect.excess(level)
        pull = test.effect.mean_pull(level)
        rows.append(
            {
                "family": test.candidate.family,
                "name": test.candidate.name,
                "class_index": -1 if test.class_index is None else test.class_index,
                "n": len(test.effect),
                "flip": float(test.effect.flips.mean()),
                "control": float(test.effect.control.mean()),
                "excess": excess.value,
                "low": excess.low,
                "high": excess.high,
                "pull": pull.value,
                "pull_low": pull.low,
                "pull_high": pull.high,
                "elsewhere": float("nan")
                if test.elsewhere is None
                else float(test.elsewhere.pull.mean()),
                "spread": float(test.beyond.std()),
                "margin": test.margin,
                "reliance": test.effect.reliance().value,
                "p": test.p,
                "p_adjusted": test.p_adjusted,
                "claimed": id(test) in claimed,
                "explained_by": explained.get(id(test), ""),
                "detectable": test.detectable,
            }
        )
    columns = [
        *("family", "name", "class_index", "n", "flip", "control", "excess", "low", "high"),
        *(
            "pull",
            "pull_low",
            "pull_high",
            "elsewhere",
            "spread",
            "margin",
            "reliance",
            "p",
            "p_adjusted",
            "claimed",
        ),
        *("explained_by", "detectable"),
    ]
    return pd.DataFrame(rows, columns=columns)


def _notes(
    bench: Bench,
    tests: Sequence[Tested],
    among: Bool[np.ndarray, "images"],
    class_names: Sequence[str] | None,
) -> list[str]:
    found = [
        "Only what these images carry can be moved: a cue that none of them shows stays unseen. "
        "Search on images as the model meets them in use, its training images included."
    ]
    if tests and max(len(test.effect) for test in tests) < 60:
        found.append(
            f"Only {max(len(test.effect) for test in tests)} images decide: a weak cue cannot be "
            "told from none."
        )
    if not tests:
        found.append("Too few images per class to move anything between classes: nothing tested.")
    counts = np.bincount(bench.labels.numpy()[among])
    few = [int(code) for code in np.flatnonzero(counts) if counts[code] < 3]
    if few:
        names = [class_names[c] if class_names else str(c) for c in few]
        found.append(f"Classes with too few images to give a component: {', '.join(names[:8])}.")
    wrong = float((~bench.right).mean())
    if wrong > 0.5:
        found.append(
            f"The classifier is wrong on {wrong:.0%} of these images: check labels and "
            "normalisation (sundog doctor) before believing anything here."
        )
    return found
