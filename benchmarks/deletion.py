"""Deletion against quantus's pixel flipping at the same number of steps."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.cases import SIZE, Case
from sundog.explain.gradient_norm import gradient_norm
from sundog.faithfulness.deletion import deletion
from sundog.models.classifier import Classifier

STEPS = 10


def deletion_case(classifier: Classifier, images: Tensor, target: Tensor) -> Case:
    """Return our 10-step deletion and quantus flipping as many features per step.

    Quantus treats the three channels of a pixel as three features, which are tied here because
    the map is repeated over the channels.
    """
    import quantus

    maps = gradient_norm(classifier, images, target)
    metric = quantus.PixelFlipping(
        features_in_step=3 * SIZE * SIZE // (STEPS - 1) + 1,
        perturb_baseline="black",
        disable_warnings=True,
        display_progressbar=False,
        return_auc_per_sample=True,
    )
    arrays = images.numpy(), target.numpy(), maps[:, None].expand(-1, 3, -1, -1).numpy()

    def peer() -> Tensor:
        scores = metric(classifier, *arrays, softmax=True, device="cpu", batch_size=64)
        return torch.as_tensor(np.asarray(scores))

    return Case(
        "deletion",
        lambda: deletion(classifier, images, maps, target, steps=STEPS).score,
        {"quantus PixelFlipping": peer},
        None,
        "quantus leaves out the clean point and does not normalise the area",
    )
