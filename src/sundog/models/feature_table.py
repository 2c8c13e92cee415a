"""Features and logits of every image, from one forward pass each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sundog.core.errors import InputError, LayerError
from sundog.core.progress import track
from sundog.core.shapes import Images, Logits
from sundog.data.image_set import Batch, ImageSet
from sundog.data.transforms import Resize
from sundog.models.classifier import Classifier
from sundog.models.layers import capture
from sundog.models.prepared import PreparedImages


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """What one pass over images gives; a row per image that could be decoded.

    Attributes:
        features: ``float32[images, features]``, on the CPU.
        logits: ``float32[images, classes]``, on the CPU.
        labels: ``int64[images]``, -1 = unlabelled.
        indices: ``int64[images]``, positions in the image set.
        ids: content hash of each image.
    """

    features: Float[Tensor, "images features"]
    logits: Logits
    labels: Int64[Tensor, "images"]
    indices: Int64[Tensor, "images"]
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check shapes and values.

        Raises:
            InputError: lengths that differ, no row, or features or logits that are not finite.
        """
        count = len(self.ids)
        lengths = {len(self.features), len(self.logits), len(self.labels), len(self.indices), count}
        if len(lengths) > 1 or self.features.ndim != 2 or self.logits.ndim != 2:
            raise InputError(
                "A feature table",
                expected="features [n, d], logits [n, k], labels [n], indices [n] and n ids",
                got=f"{tuple(self.features.shape)}, {tuple(self.logits.shape)}, "
                f"{tuple(self.labels.shape)}, {tuple(self.indices.shape)}, {count} ids",
            )
        for name, values in (("features", self.features), ("logits", self.logits)):
            bad = int((~torch.isfinite(values)).any(dim=1).sum()) if values.numel() else 0
            if bad:
                raise InputError(
                    name,
                    expected="finite",
                    got=f"NaN or infinity in {bad} of {count} images",
                    hint="Look for a layer that overflows, or for bad weights; drop those images.",
                )

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, index: Tensor | np.ndarray | Sequence[int]) -> FeatureTable:
        """Return the rows at positions (or where a mask is true), in that order."""
        chosen = torch.as_tensor(np.asarray(index))
        chosen = chosen.nonzero()[:, 0] if chosen.dtype == torch.bool else chosen.long()
        return FeatureTable(
            features=self.features[chosen],
            logits=self.logits[chosen],
            labels=self.labels[chosen],
            indices=self.indices[chosen],
            ids=tuple(self.ids[i] for i in chosen.tolist()),
        )

    @staticmethod
    def joined(tables: Sequence[FeatureTable]) -> FeatureTable:
        """Return the rows of several tables of one classifier, one after the other."""
        return FeatureTable(
            features=torch.cat([table.features for table in tables]),
            logits=torch.cat([table.logits for table in tables]),
            labels=torch.cat([table.labels for table in tables]),
            indices=torch.cat([table.indices for table in tables]),
            ids=tuple(i for table in tables for i in table.ids),
        )


def table_from_arrays(
    features: np.ndarray | Tensor,
    logits: np.ndarray | Tensor,
    labels: np.ndarray | Tensor | None = None,
    *,
    ids: Sequence[str] | None = None,
) -> FeatureTable:
    """Return a table of features and logits that were computed elsewhere.

    Args:
        features: ``[images, features]``.
        logits: ``[images, classes]``.
        labels: ``[images]``, -1 = unlabelled; None: all unlabelled.
        ids: one per image; positions if None.

    Raises:
        InputError: lengths that differ, or values that are not finite.
    """
    count = len(features)
    known = torch.full((count,), -1) if labels is None else torch.as_tensor(np.asarray(labels))
    return FeatureTable(
        features=torch.as_tensor(np.asarray(features)).float(),
        logits=torch.as_tensor(np.asarray(logits)).float(),
        labels=known.long(),
        indices=torch.arange(count),
        ids=tuple(ids) if ids is not None else tuple(str(i) for i in range(count)),
    )


def forward_features(
    classifier: Classifier, images: Images, *, network: Callable[[Images], Logits] | None = None
) -> tuple[Float[Tensor, "batch features"], Logits]:
    """Return features and logits of one pass, with gradients where they are enabled.

    Maps and tokens are averaged over their places.

    Args:
        classifier: its feature layer is listened to.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        network: called in the classifier's place (the classifier wrapped for training).

    Raises:
        LayerError: the classifier has no feature layer.
    """
    name = classifier.feature_layer
    if name is None:
        raise LayerError(
            f"Classifier {classifier.name!r}",
            expected="one with a feature layer",
            got="none (no linear layer was found)",
            hint="Set feature_layer when it is made. A network in a file (ONNX, TorchScript) "
            "has no layers to listen to: take methods that need its answers alone, such as msp "
            "and entropy.",
        )
    with capture(classifier, name) as captured:
        logits = (network or classifier)(images)
    found = captured.one(name)
    if found.ndim == 3:
        found = found.mean(dim=1)
    elif found.ndim > 3:
        found = found.flatten(2).mean(dim=2)
    return found, logits


@torch.no_grad()
def collect_features(
    classifier: Classifier,
    data: ImageSet | PreparedImages,
    *,
    size: int | tuple[int, int] | None = None,
    resize: Resize = "pad",
    batch_size: int = 64,
    change: Callable[[Batch], Images] | None = None,
    progress: bool | None = None,
) -> FeatureTable:
    """Return features and logits of every image, in order.

    Args:
        classifier: in eval mode.
        data: images; prepared ones keep their own size and resize rule.
        size: (height, width) or side in pixels; ``classifier.input_size`` if None.
        resize: ``pad``, ``crop`` or ``stretch``.
        batch_size: images per pass.
        change: what is done to a batch first (plant, remove or swap a cue).
        progress: show progress; None = on a terminal.

    Raises:
        LayerError: the classifier has no feature layer.
        ModelStateError: a classifier in train mode.
        InputError: features that are not finite.
    """
    classifier.require_eval()
    images = data
    if isinstance(images, ImageSet):
        images = PreparedImages(
            images, size=size or classifier.input_size, resize=resize, cache_bytes=0
        )
    parts: list[FeatureTable] = []
    total = -(-len(images) // batch_size)
    stream = images.batches(batch_size=batch_size)
    for batch in track(stream, description="features", total=total, visible=progress):
        shown = batch.images if change is None else change(batch)
        features, logits = forward_features(classifier, shown.to(classifier.device))
        parts.append(
            FeatureTable(
                features=features.cpu().float(),
                logits=logits.cpu().float(),
                labels=batch.labels,
                indices=batch.indices,
                ids=batch.ids,
            )
        )
    return FeatureTable.joined(parts)
