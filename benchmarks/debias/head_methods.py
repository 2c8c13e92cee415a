"""Methods that refit the last layer of the plain network on its features."""

import time
from collections.abc import Callable

import numpy as np

from benchmarks.debias.work import Outcome, Work
from sundog.debias.afr import afr
from sundog.debias.dfr import dfr
from sundog.debias.head_fit import HeadFit
from sundog.debias.low_spuriosity import low_spuriosity
from sundog.debias.mask_editor import MaskEditor
from sundog.debias.masked_pairs import CuePairs, masked_pairs
from sundog.debias.planted_editor import PlantedEditor
from sundog.debias.projection import projection
from sundog.models.feature_table import FeatureTable
from sundog.models.head import read_head


def head_outcome(work: Work, fit: HeadFit, **more: object) -> Outcome:
    """Put a new head into the plain network."""
    return Outcome(
        classifier=fit.apply(work.erm),
        seconds={"fit": fit.seconds, **work.seconds},
        notes={**fit.to_dict(), **more},
    )


def projected_head(work: Work) -> Outcome:
    """Take out the directions between training images and their originals without the cue."""
    return _projected(work, _original_pairs(work), work.train_table)


def projected_head_mask(work: Work) -> Outcome:
    """Do so with the cue painted over, and swapped for another image's, by its mask."""
    return _projected(work, _mask_pairs(work, 1000), work.train_table)


def projected_head_swapped(work: Work) -> Outcome:
    """Refit on training images with swapped cues, too."""
    pairs = _mask_pairs(work, None)
    return _projected(work, pairs, pairs.with_cue)


def _original_pairs(work: Work) -> CuePairs:
    editor = PlantedEditor(work.pictures.clean_prepared, work.pictures.cue)
    return masked_pairs(work.erm, work.pictures.biased_prepared, editor, progress=False)


def _mask_pairs(work: Work, limit: int | None) -> CuePairs:
    images = work.pictures.biased_prepared
    editor = MaskEditor(images, work.pictures.masks)
    begun = time.perf_counter()
    pairs = masked_pairs(work.erm, images, editor, limit=limit, progress=False)
    work.seconds["pairs"] = time.perf_counter() - begun
    return pairs


def _projected(work: Work, pairs: CuePairs, table: FeatureTable) -> Outcome:
    # Each value of the cue may have a direction of its own.
    wanted = max(8, work.pictures.classes)
    fit = projection(table, pairs.with_cue, pairs.without_cue, directions=wanted)
    return head_outcome(work, fit, flipped=pairs.flipped)


def dfr_head(per_group: int | None) -> Callable[[Work], Outcome]:
    """Return the refit on audit images, with so many of each group if a number is given."""

    def run(work: Work) -> Outcome:
        groups = work.audit_groups
        ids = groups.ids.copy()
        if per_group is not None:
            rng = np.random.default_rng([work.seed, per_group])
            for group in range(len(groups)):
                ids[rng.permutation(np.flatnonzero(ids == group))[per_group:]] = -1
        fit = dfr(
            work.audit_table,
            ids,
            group_names=groups.names,
            train=work.train_table,
            seed=work.seed,
            progress=False,
        )
        return head_outcome(work, fit)

    return run


def afr_head(work: Work) -> Outcome:
    """Refit on half of the audit images, shown as in training; choose by the other half."""
    half = np.random.default_rng(work.seed).permutation(len(work.pictures.audit)) % 2 == 0
    fit = afr(
        work.audit_as_trained.rows(half),
        read_head(work.erm),
        validation=work.audit_table.rows(~half),
        validation_groups=work.audit_groups.ids[~half],
        progress=False,
    )
    return head_outcome(work, fit)


def low_spuriosity_head(work: Work) -> Outcome:
    """Tune on the images of each class that show its cue least, by a ranking without errors."""
    conflicting = work.pictures.conflicting
    order = np.random.default_rng(work.seed).random(len(conflicting))  # ties are broken at random
    spuriosity = np.where(conflicting, order - 1.0, order)
    fit = low_spuriosity(work.train_table, spuriosity, read_head(work.erm))
    return head_outcome(work, fit, base_rate=float(conflicting.mean()))
