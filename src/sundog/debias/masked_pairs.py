"""Features of the same images with and without their cue: what the cue alone changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.progress import track
from sundog.core.seeds import derive_seed
from sundog.data.sampling import balanced_sample
from sundog.debias.cue_augmentation import check_editor
from sundog.debias.cue_editor import CueEditor
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable, forward_features
from sundog.models.prepared import PreparedImages

Shown = Literal["own", "swapped"]


@dataclass(frozen=True, eq=False)
class CuePairs:
    """Two tables with the same images row by row.

    Attributes:
        with_cue: features with a cue in the image.
        without_cue: features of the same images without one.
        unchanged: images that were left out because the edit changed no pixel (no cue in them).
        flipped: share of the pairs whose predicted class differs, in [0, 1]; higher means that
            the classifier hangs on the cue more.
    """

    with_cue: FeatureTable
    without_cue: FeatureTable
    unchanged: int
    flipped: float

    def __len__(self) -> int:
        return len(self.with_cue)


@torch.no_grad()
def masked_pairs(
    classifier: Classifier,
    images: PreparedImages,
    editor: CueEditor,
    *,
    shown: Shown = "swapped",
    limit: int | None = 1000,
    batch_size: int = 64,
    seed: int = 0,
    progress: bool | None = None,
) -> CuePairs:
    """Return features of images with and without their cue; two passes per image.

    Args:
        classifier: in eval mode.
        images: with the cue.
        editor: of these images.
        shown: the cue of the pairs: ``swapped``, one drawn from all values, so that each value
            is seen with each class, or ``own``.
        limit: at most so many images, class-balanced; None takes all.
        batch_size: images per pass.
        seed: of the choice and the swaps.
        progress: show progress; None = on a terminal.

    Raises:
        InputError: an editor of other images, or not one image that the edit changes.
        LayerError: the classifier has no feature layer.
        ModelStateError: a classifier in train mode.
    """
    classifier.require_eval()
    check_editor(editor, images)
    if shown not in get_args(Shown):
        raise InputError("shown", expected=f"one of {get_args(Shown)}", got=repr(shown))
    source = images.image_set
    chosen = torch.from_numpy(
        balanced_sample(source.labels, source.ids, limit=limit, seed=derive_seed(seed, "pairs"))
    )
    parts: list[tuple[FeatureTable, FeatureTable]] = []
    unchanged = 0
    stream = images.batches(chosen, batch_size=batch_size)
    total = -(-len(chosen) // batch_size)
    for batch in track(stream, description="pairs", total=total, visible=progress):
        clean = editor.removed(batch.images, batch.indices)
        cued = batch.images
        if shown == "swapped":
            cued = editor.swapped(batch.images, batch.indices, seed=seed)
        rows = ((clean - cued).flatten(1) != 0).any(dim=1).nonzero()[:, 0]
        unchanged += len(batch) - len(rows)
        if not len(rows):
            continue
        tables = []
        for pictures in (cued, clean):
            features, logits = forward_features(classifier, pictures[rows].to(classifier.device))
            tables.append(
                _table(features, logits, batch.labels[rows], batch.indices[rows], source.ids)
            )
        parts.append((tables[0], tables[1]))
    if not parts:
        raise InputError(
            "The cue editor",
            expected="one that changes some images",
            got=f"{unchanged} images without a changed pixel",
            hint="Check that the masks belong to these images.",
        )
    with_cue = FeatureTable.joined([first for first, _ in parts])
    without_cue = FeatureTable.joined([second for _, second in parts])
    differs = with_cue.logits.argmax(dim=1) != without_cue.logits.argmax(dim=1)
    return CuePairs(
        with_cue=with_cue,
        without_cue=without_cue,
        unchanged=unchanged,
        flipped=float(differs.double().mean()),
    )


def _table(
    features: Tensor, logits: Tensor, labels: Tensor, indices: Tensor, ids: tuple[str, ...]
) -> FeatureTable:
    return FeatureTable(
        features=features.cpu().float(),
        logits=logits.cpu().float(),
        labels=labels,
        indices=indices,
        ids=tuple(ids[i] for i in indices.tolist()),
    )
