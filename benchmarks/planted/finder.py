"""The finder under test, behind one function."""

from functools import partial

from torch import Tensor

from benchmarks.planted.loading import Loaded
from sundog.audit.shortcut_hints import find_hints
from sundog.bias.shortcut import find_shortcuts
from sundog.bias.shortcut_result import ShortcutSearch
from sundog.explain.attribute import attribute
from sundog.models.classifier import Classifier

METHOD = "gradient_x_input"
"""Attribution method of the maps that propose where to cut."""


def find(loaded: Loaded) -> ShortcutSearch:
    """Search the setting's classifier for cues, knowing images and labels alone."""
    explain = partial(maps, loaded.classifier)
    hints = find_hints(
        loaded.images, loaded.labels, attribute=explain, seed=loaded.setting.seed, progress=False
    )
    return find_shortcuts(
        loaded.classifier,
        loaded.images,
        loaded.labels,
        attribute=explain,
        boxes=hints.boxes,
        stamps=hints.stamps,
        class_names=loaded.class_names,
        seed=loaded.setting.seed,
        progress=False,
    )


def maps(classifier: Classifier, images: Tensor) -> Tensor:
    """Return how much each pixel counts for the prediction, ``float[batch, height, width]``."""
    return attribute(classifier, images, METHOD).maps.abs()
