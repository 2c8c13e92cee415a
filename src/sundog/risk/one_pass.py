"""One backbone pass for all risk methods."""

from __future__ import annotations

import torch

from sundog.core.errors import InputError
from sundog.core.shapes import Images
from sundog.data.image_set import Batch
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable, forward_features
from sundog.risk.estimator import Passed
from sundog.risk.images import Source, image_batches


def pass_once(classifier: Classifier, images: Images, *, needs_features: bool = True) -> Passed:
    """Return features and logits of one backbone pass, with the images.

    Args:
        classifier: asked once.
        images: ``float[batch, 3, height, width]`` in [0, 1], on its device.
        needs_features: False allows a classifier without a feature layer; there are 0 features.

    Raises:
        LayerError: no feature layer, and features are needed.
        InputError: features or logits that are not finite.
    """
    if classifier.feature_layer is None and not needs_features:
        logits = classifier(images)
        features = logits.new_zeros((len(logits), 0))
    else:
        features, logits = forward_features(classifier, images)
    for name, values in (("The features", features), ("The logits", logits)):
        bad = int((~torch.isfinite(values.detach())).any(dim=1).sum()) if values.numel() else 0
        if bad:
            raise InputError(
                name,
                expected="finite",
                got=f"NaN or infinity in {bad} of {len(values)} images",
                hint="Check the images and the weights; risks of such an image mean nothing.",
            )
    return Passed(features=features, logits=logits, images=images, classifier=classifier)


@torch.no_grad()
def pass_all(
    classifier: Classifier,
    data: Source,
    *,
    needs_features: bool = True,
    batch_size: int = 64,
    progress: bool | None = None,
) -> FeatureTable:
    """Return features, logits and labels of every image of a source, in its order."""
    parts = []
    batches = image_batches(
        data, size=classifier.input_size, batch_size=batch_size, progress=progress
    )
    for batch in batches:
        passed = pass_once(
            classifier, batch.images.to(classifier.device), needs_features=needs_features
        )
        parts.append(as_table(passed, batch))
    return FeatureTable.joined(parts)


def as_table(passed: Passed, batch: Batch) -> FeatureTable:
    """Return what a pass gave as rows of a table, on the CPU."""
    return FeatureTable(
        features=passed.features.detach().cpu().float(),
        logits=passed.logits.detach().cpu().float(),
        labels=batch.labels,
        indices=batch.indices,
        ids=batch.ids,
    )
