"""Deletion against quantus's pixel flipping at the same number of steps."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.cases import SIZE, Case
from sundog.explain.gradient_norm import gradient_norm
from sundog.faithfulness.deletion import deletion
from sundog.models.classifier import Classifier

STEPS = 13
"""Images on our curve. Quantus wants a divisor of height x width features per step and counts the
three channels of a pixel as three features: 4 x 3 = 12 changed images."""


def deletion_case(classifier: Classifier, images: Tensor, target: Tensor) -> Case:
    """Return our deletion and quantus's flipping with the same number of changed images."""
    import quantus

    maps = gradient_norm(classifier, images, target)
    metric = quantus.PixelFlipping(
        features_in_step=3 * SIZE * SIZE // (STEPS - 1),
        perturb_baseline="black",
        disable_warnings=True,
        display_progressbar=False,
        return_auc_per_sample=False,  # its area calls np.trapz, which NumPy 2.4 no longer has
    )
    arrays = images.numpy(), target.numpy(), maps[:, None].expand(-1, 3, -1, -1).numpy()

    def peer() -> Tensor:
        scores = metric(classifier, *arrays, softmax=True, device="cpu", batch_size=64)
        return torch.as_tensor(np.asarray(scores))

    return Case(
        "deletion",
        lambda: torch.from_numpy(
            deletion(classifier, images, maps, target=target, steps=STEPS).area
        ),
        {"quantus PixelFlipping": peer},
        None,
        "quantus leaves out the clean point and does not normalise the area",
    )
