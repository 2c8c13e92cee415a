"""RISE: the mean of the explained scalar over random masks, weighted by the masks.

Source: Petsiuk, Das & Saenko, 2018, arXiv 1806.07421.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.core.shapes import Images, Labels, Maps
from sundog.explain.baselines import Baseline, make_baseline
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.objective import OutputKind, Target, make_objective
from sundog.explain.passes import forward_rows, gradients_off
from sundog.explain.windows import Pair, pair
from sundog.models.classifier import Classifier


@dataclass(frozen=True, eq=False)
class RiseResult:
    """RISE maps and how far the random masks can have moved them.

    Attributes:
        maps: ``float[batch, height, width]``, see :func:`rise`.
        standard_error: same shape; standard error of the mean over the masks, >= 0, low is better.
            It falls with ``1 / sqrt(n_samples)``.
        n_samples: number of masks.
    """

    maps: Maps
    standard_error: Maps
    n_samples: int


@dataclass(frozen=True, eq=False)
class Masks:
    """N random masks, kept as small grids and shifts and made at full size a few at a time.

    Attributes:
        grids: ``float[N, 1, down, across]`` of zeros and ones.
        shifts: ``int64[N, 2]``, the (vertical, horizontal) offset of the crop in pixels.
        cell: (height, width) of a grid cell in pixels.
        size: (height, width) of the image.
    """

    grids: Tensor
    shifts: Tensor
    cell: tuple[int, int]
    size: tuple[int, int]

    def make(self, index: Labels, like: Images) -> Tensor:
        """Return the masks ``index``, ``float[len(index), 1, height, width]`` in [0, 1]."""
        down, across = self.grids.shape[2:]
        large = F.interpolate(
            self.grids[index.cpu()].to(like),
            size=((down + 1) * self.cell[0], (across + 1) * self.cell[1]),
            mode="bilinear",
            align_corners=False,
        )
        height, width = self.size
        crops = [
            mask[:, top : top + height, left : left + width]
            for mask, (top, left) in zip(large, self.shifts[index.cpu()].tolist(), strict=True)
        ]
        return torch.stack(crops)


def draw_masks(
    size: tuple[int, int], *, n_samples: int, grid: Pair, keep: float, seed: int
) -> Masks:
    """Draw Bernoulli grids and shifts from the seed alone: the same masks for every image.

    Raises:
        InputError: fewer than 1 sample, a share outside (0, 1), an image smaller than the grid.
    """
    down, across = pair(grid, "grid")
    if type(n_samples) is not int or n_samples < 1:
        raise InputError("n_samples", expected="an integer >= 1", got=repr(n_samples))
    if not 0.0 < keep < 1.0:
        raise InputError("keep", expected="a share of cells between 0 and 1", got=repr(keep))
    if size[0] < down or size[1] < across:
        raise InputError(
            "The grid",
            expected=f"at most as fine as the image, {size[0]} x {size[1]} pixels",
            got=f"{down} x {across} cells: the image is smaller than the grid",
            hint="Use a coarser grid or a larger image.",
        )
    cell = (-(-size[0] // down), -(-size[1] // across))
    source = generator(seed, "rise", down, across)
    grids = (torch.rand((n_samples, 1, down, across), generator=source) < keep).float()
    vertical = torch.randint(cell[0], (n_samples,), generator=source)
    horizontal = torch.randint(cell[1], (n_samples,), generator=source)
    return Masks(
        grids=grids, shifts=torch.stack([vertical, horizontal], dim=1), cell=cell, size=size
    )


def rise(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    n_samples: int = 4000,
    grid: Pair = 7,
    keep: float = 0.5,
    baseline: Baseline = "black",
    seed: int = 0,
    output: OutputKind = "probability",
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return how high the explained scalar is on average when each pixel stays visible.

    Operator: ``R = sum_j f_c(x * M_j + b * (1 - M_j)) M_j / (N p)``. A mask is an s x s grid of
    cells that are kept with probability p, enlarged bilinearly to (s + 1) cells of
    ``ceil(size / s)`` pixels and cropped at a random offset below one cell.

    The masks come from ``seed`` alone: every image of a call, and of another call with the same
    seed and size, sees the same masks, so that maps are comparable and independent of the batch.
    Only grids and offsets are kept; full-size masks exist a pass at a time.

    Args:
        classifier: in eval mode; needs no gradient.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the class predicted
            for the clean image.
        n_samples: number N of masks; the paper's 4000 for VGG (8000 for ResNet).
        grid: s cells per axis, or (down, across); the paper's 7.
        keep: probability p that a cell stays visible, in (0, 1).
        baseline: what hidden pixels show, in [0, 1] before normalisation.
        seed: of the masks.
        output: probability (the paper's), logit or log_probability.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``; high = the scalar is high when the pixel is visible. It is
        a mean of the scalar, not a difference: >= 0 for probabilities, and only its variation
        within an image speaks for or against pixels.

    Raises:
        InputError: bad images, target, output or parameters; an image smaller than the grid.
        ModelStateError: train mode.

    Source: Petsiuk et al., 2018, arXiv 1806.07421.
    """
    return rise_with_error(
        classifier,
        images,
        target,
        n_samples=n_samples,
        grid=grid,
        keep=keep,
        baseline=baseline,
        seed=seed,
        output=output,
        budget=budget,
    ).maps


@gradients_off()
def rise_with_error(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    n_samples: int = 4000,
    grid: Pair = 7,
    keep: float = 0.5,
    baseline: Baseline = "black",
    seed: int = 0,
    output: OutputKind = "probability",
    budget: int = DEFAULT_BUDGET,
) -> RiseResult:
    """Return RISE maps with their standard error over the masks; see :func:`rise`.

    The standard error is NaN for ``n_samples=1``.
    """
    objective = make_objective(classifier, images, target, output=output)
    size = (images.shape[2], images.shape[3])
    masks = draw_masks(size, n_samples=n_samples, grid=grid, keep=keep, seed=seed)
    fill = make_baseline(images, baseline, seed=seed)
    total = torch.zeros((len(images), *size), dtype=torch.float64)
    squares = torch.zeros_like(total)
    shown: dict[str, Tensor] = {}

    def mask(owner: Labels, point: Labels) -> Images:
        shown["now"] = made = masks.make(point, images)
        return torch.lerp(fill[owner], images[owner], made)

    def read(logits: Tensor, owner: Labels, _point: Labels) -> None:
        term = (objective(logits, owner)[:, None, None] * shown["now"][:, 0] / keep).cpu().double()
        total.index_add_(0, owner.cpu(), term)
        squares.index_add_(0, owner.cpu(), term.square())

    forward_rows(classifier, images, points=n_samples, make_rows=mask, read=read, budget=budget)
    mean = total / n_samples
    variance = (
        (squares / n_samples - mean.square()).clamp_min(0) * n_samples / max(n_samples - 1, 1)
    )
    error = (variance / n_samples).sqrt() if n_samples > 1 else torch.full_like(mean, torch.nan)
    return RiseResult(maps=mean.to(images), standard_error=error.to(images), n_samples=n_samples)
