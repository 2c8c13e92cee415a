"""Mending a classifier by what was found, and nothing else: cue augmentation, as ``sundog debias``.

The classifier is trained on from its weights; in every image of the biased training set the found
components are replaced by those of a random image of a random class.
"""

import time
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.planted.data_sets import Data
from benchmarks.planted.finder import find
from benchmarks.planted.loading import AUDIT_LIMIT, Loaded, read_images
from benchmarks.planted.planted_images import training_images
from benchmarks.planted.training import UNFLIPPED
from sundog.bias.shortcut_result import Shortcut, ShortcutSearch
from sundog.data.components.component import FAMILIES
from sundog.data.image_set import ImageSet
from sundog.data.mask_reader import ArrayMasks
from sundog.data.sampling import balanced_sample
from sundog.debias.component_editor import ComponentEditor
from sundog.debias.cue_augmentation import CueAugmentation
from sundog.debias.cue_editor import CueEditor
from sundog.debias.mask_editor import MaskEditor
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages
from sundog.models.train import train_classifier

EPOCHS = {
    "digits": 4,
    "digits-56": 3,
    "faces": 20,
    "photographs": 5,
    "imagenette": 3,
}
"""Of the further training: about ten seconds."""
LEARNING_RATE = 1e-3
MOST_CUES = 3
"""Claimed cues that are mended, strongest first."""


@dataclass(frozen=True, eq=False)
class Mended:
    """A classifier after the repair.

    Attributes:
        classifier: trained on.
        seconds: processor time.
        components: families that were replaced.
    """

    classifier: Classifier
    seconds: float
    components: tuple[str, ...]


def mend(loaded: Loaded, search: ShortcutSearch) -> Mended | None:
    """Train the classifier on with the found cues replaced; None if nothing was found."""
    if not search.shortcuts:
        return None
    begun = time.process_time()
    setting, data = loaded.setting, loaded.data
    images = training_images(setting, data).images
    components = movable(search)
    if components:
        editor: CueEditor = ComponentEditor(prepare(images, data), components)
        names = tuple(component.family for component in components)
    else:
        found = _masked_editor(loaded, images)
        if found is None:
            return None
        images, editor = found
        names = ("masked",)
    batch_size = min(64, max(8, len(images) // 10))
    epochs = EPOCHS[data.name]
    classifier = train_classifier(
        loaded.classifier,
        images,
        validation_set=data.held_out,
        size=data.size,
        resize=data.resize,
        epochs=epochs,
        evaluate_every=epochs,
        learning_rate=LEARNING_RATE,
        batch_size=batch_size,
        seed=setting.model_seed,
        augment="none" if data.name in UNFLIPPED else "flip",
        recipe=CueAugmentation(editor),
        device="cpu",
        progress=False,
    ).classifier
    return Mended(classifier, time.process_time() - begun, names)


def movable(search: ShortcutSearch) -> list:
    """Return the components of the claimed cues that can be moved without a mask of each image."""
    found = []
    for claim in search.shortcuts[:MOST_CUES]:
        for component in (claim.component, claim.also):
            if component is not None and component.family in FAMILIES and component not in found:
                found.append(component)
    return found


def prepare(images: ImageSet, data: Data) -> PreparedImages:
    """Return images at the size of the training."""
    return PreparedImages(images, size=data.size, resize=data.resize)


def _masked_editor(loaded: Loaded, images: ImageSet) -> tuple[ImageSet, MaskEditor] | None:
    """Find the cue again in training images, which then have a mask each; None if it is not."""
    chosen = balanced_sample(images.labels, images.ids, limit=AUDIT_LIMIT)
    part = images.subset(chosen)
    pixels = read_images(part, loaded.data)
    labels = loaded.labels.new_tensor(part.labels)
    again = find(replace(loaded, images=pixels, labels=labels))
    claim = next((c for c in again.shortcuts if c.image_masks), None)
    if claim is None:
        return None
    return part, MaskEditor(
        prepare(part, loaded.data), ArrayMasks(stacked(claim, len(part), pixels.shape[2:]))
    )


def stacked(claim: Shortcut, count: int, size: tuple[int, ...]) -> np.ndarray:
    """Return the masks of a claim as ``bool[images, height, width]``."""
    masks = np.zeros((count, *size), dtype=bool)
    for position, mask in claim.image_masks.items():
        masks[position] = mask
    return masks
