"""Groups in the features of the classifier under test, to be named by the reviewer."""

from __future__ import annotations

import copy
import hashlib
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from PIL import Image as Pillow

from sundog.concepts.cluster_models import GroupModel, Shares, Vectors, find_groups
from sundog.concepts.fixed_batches import run_fixed
from sundog.concepts.photometric import upper_tail
from sundog.concepts.score_images import decoded_rows
from sundog.concepts.tag_scores import Scores, Thresholds
from sundog.concepts.tagger import Rows, Tagger
from sundog.core.errors import DataError, InputError, LayerError, ModelStateError
from sundog.core.progress import track
from sundog.core.seeds import derive_seed
from sundog.data.content import Pixels
from sundog.data.image_set import ImageSet
from sundog.data.transforms import Resize, check_size, resize_image
from sundog.models.classifier import Classifier
from sundog.models.features import extract_features
from sundog.models.fingerprint import model_fingerprint

Method = Literal["kmeans", "nmf"]
PREVIEW_GRID = 3
PREVIEW_TILE = 64


class ClusterTagger(Tagger):
    """Tags ``cluster 1``, ``cluster 2``, ...: what the classifier itself holds to be alike.

    The features are those that its last layer decides from, as vectors of length 1. ``kmeans``
    (spherical) gives groups of images, ``nmf`` parts that images are made of. The score is the
    share, in [0, 1], by which an image belongs to the group
    (:mod:`sundog.concepts.cluster_models`). Groups are numbered from the largest; previews show
    the nine images that belong most.

    Default thresholds: 0.5 for ``kmeans``; for ``nmf`` the fifth of the set with the largest share,
    which must be at least 1 / clusters.

    Attributes:
        name: ``clusters``.
        classifier: whose features are used.
    """

    name = "clusters"
    version = 1
    fitted = False

    def __init__(
        self,
        classifier: Classifier,
        *,
        method: Method = "kmeans",
        clusters: int = 20,
        size: int | tuple[int, int] | None = None,
        resize: Resize = "pad",
        layer: str | None = None,
        sample: int = 5000,
        batch_size: int = 32,
    ) -> None:
        """Say what to group.

        Args:
            classifier: in eval mode.
            method: ``kmeans`` or ``nmf``.
            clusters: number of groups, >= 2.
            size: (height, width) or side in pixels; the classifier's own if None.
            resize: how images are brought to it, as for the classifier: pad, crop or stretch.
            layer: dotted name; ``classifier.feature_layer`` if None.
            sample: at most so many images are learned from, drawn by the seed.
            batch_size: images per forward pass, >= 1.

        Raises:
            InputError: a bad argument, or no size.
            LayerError: the classifier has no feature layer.
            ModelStateError: a classifier in train mode.
        """
        if method not in get_args(Method):
            raise InputError("method", expected=f"one of {get_args(Method)}", got=repr(method))
        if clusters < 2 or sample < 2 or batch_size < 1:
            raise InputError("clusters, sample and batch_size", expected=">= 2, >= 2 and >= 1")
        if resize not in get_args(Resize):
            raise InputError("resize", expected=f"one of {get_args(Resize)}", got=repr(resize))
        chosen = size if size is not None else classifier.input_size
        if chosen is None:
            raise InputError(
                "size", expected="given, since the classifier has none of its own", got="None"
            )
        classifier.require_eval()
        if layer is None and classifier.feature_layer is None:
            raise LayerError(
                f"Classifier {classifier.name!r}", expected="one with a feature layer", got="none"
            )
        self.classifier = classifier
        self._method = method
        self._clusters = clusters
        self._size = check_size(chosen)
        self._resize: Resize = resize
        self._layer = layer or classifier.feature_layer
        self._sample = sample
        self._batch_size = batch_size
        self._model: GroupModel | None = None
        self.tag_names = ()
        self.thresholds = np.zeros(0, dtype=np.float32)

    def fit(self, image_set: ImageSet, *, seed: int = 0, progress: bool | None = None) -> Self:
        """Find the groups of this set.

        Raises:
            DataError: not one image can be decoded.
            InputError: fewer different images than groups, or negative features for ``nmf``.
        """
        order = sorted(
            range(len(image_set)),
            key=lambda i: (derive_seed(seed, "clusters", image_set.ids[i]), i),
        )
        chosen = sorted(order[: self._sample])
        parts: list[Vectors] = []
        used: list[int] = []
        counted = track(chosen, description="Reading features", total=len(chosen), visible=progress)
        for rows in decoded_rows(image_set, counted, batch_size=self._batch_size):
            parts.append(self._features(rows))
            used.extend(rows.indices.tolist())
        if not parts:
            raise DataError(
                f"Image set {image_set.name!r}", expected="readable", got="no image to decode"
            )
        vectors = np.concatenate(parts)
        made = copy.copy(self)
        made._model = find_groups(vectors, method=self._method, groups=self._clusters, seed=seed)
        shares = made._model.shares(vectors)
        made.fitted = True
        made.tag_names = tuple(f"cluster {i + 1}" for i in range(self._clusters))
        made.thresholds = np.full(self._clusters, 0.5, dtype=np.float32)
        made.thresholds = made.calibrate(shares)
        made.previews = {
            name: _preview(image_set, np.array(used), shares[:, position])
            for position, name in enumerate(made.tag_names)
        }
        return made

    def identity(self) -> dict[str, Any]:
        """Return what the shares depend on; weights and centres as hashes."""
        centres = b"" if self._model is None else self._model.centres.tobytes()
        spread = getattr(self._model, "spread", None)
        return {
            "name": self.name,
            "version": self.version,
            "classifier": model_fingerprint(self.classifier),
            "layer": self._layer,
            "method": self._method,
            "size": list(self._size),
            "resize": self._resize,
            "batch_size": self._batch_size,
            "centres": hashlib.blake2b(centres, digest_size=16).hexdigest(),
            "spread": spread,
        }

    def score(self, rows: Rows) -> Scores:
        """Return the shares by which the images belong to the groups.

        Raises:
            ModelStateError: not fitted, or the classifier was put into train mode.
        """
        if self._model is None:
            raise ModelStateError("Tagger 'clusters'", expected="fitted", got="one that is not")
        return self._model.shares(self._features(rows))

    def calibrate(self, scores: Scores) -> Thresholds:
        """Return 0.5 for ``kmeans``, the upper fifth of the set for ``nmf``."""
        if self._method == "kmeans":
            return self.thresholds
        low = 1 / self._clusters
        return np.array([upper_tail(s, 0.2, low=low) for s in scores.T], dtype=np.float32)

    def _features(self, rows: Rows) -> Vectors:
        self.classifier.require_eval()
        images = [resize_image(p, self._size, resize=self._resize) for p in rows.images]

        def features(batch: torch.Tensor) -> torch.Tensor:
            return extract_features(
                self.classifier, batch, layer=self._layer, batch_size=self._batch_size
            ).float()

        found = run_fixed(
            features, images, batch_size=self._batch_size, device=self.classifier.device
        )
        return found.numpy()


def _preview(image_set: ImageSet, indices: np.ndarray, shares: Shares) -> Pixels:
    """Return a 3 x 3 sheet of the images that belong most to a group."""
    tile, grid = PREVIEW_TILE, PREVIEW_GRID
    order = np.argsort(-np.nan_to_num(shares, nan=-1.0), kind="stable")[: grid * grid]
    sheet = np.full((grid * tile, grid * tile, 3), 255, dtype=np.uint8)
    for place, position in enumerate(order):
        picture = Pillow.fromarray(image_set.image(int(indices[position])))
        picture.thumbnail((tile, tile))
        shown = np.asarray(picture)
        top, left = place // grid * tile, place % grid * tile
        sheet[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return sheet
