"""Attention rollout: how much of each patch flows through all attention layers to the answer.

Source: Abnar & Zuidema, 2020, arXiv 2005.00928.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from sundog.core.errors import InputError, LayerError
from sundog.core.shapes import Images, Maps
from sundog.explain.attention_maps import AttentionReader
from sundog.explain.budget import DEFAULT_BUDGET, rows_per_pass
from sundog.explain.objective import Objective, Target, check_images
from sundog.explain.passes import gradients_off
from sundog.explain.plain_kernels import plain_kernels
from sundog.explain.reduction import resize_maps
from sundog.models.classifier import Classifier
from sundog.models.tokens import token_grid

HeadFusion = Literal["mean", "max", "min"]
Start = Literal["auto", "class_token", "mean"]


@gradients_off()
def attention_rollout(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    heads: HeadFusion = "mean",
    discard: float = 0.0,
    start: Start = "auto",
    prefix_tokens: int | None = None,
    resized: bool = True,
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return how much attention each patch gets through all layers, whatever the class.

    Operator: ``R = A'_L ... A'_2 A'_1`` with ``A'_l`` the row-normalised ``A_l / 2 + I / 2`` and
    ``A_l`` the attention of layer l, its heads fused. The map is the class token's row of R at the
    patches, or the mean row of the patches if there is no class token, put on the patch grid and
    resized bilinearly. It is **class-agnostic**: the same map for every class. It knows nothing of
    the values that are attended to, so it tells where the network looks, not why.

    Works with any network whose attention is a softmax over all patches of the image (timm,
    torchvision, Hugging Face), fused or not. A last layer in which one query attends to all
    tokens (attention pooling) gives the row instead.

    Args:
        classifier: a vision transformer in eval mode; needs no gradient.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: not used: the map does not depend on it.
        heads: how heads are fused, ``mean``, ``max`` or ``min``.
        discard: share of the smallest weights of each fused matrix that count as 0, in [0, 1).
        start: row of R that is shown: ``class_token`` (the first token), ``mean`` over the patches
            (right for networks that average their patches), or ``auto``: the class token if
            there is one.
        prefix_tokens: tokens before the patches (class, distillation, registers); None finds it.
        resized: False returns the patch grid, ``[batch, rows, columns]``.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``, >= 0; high = the answer attends to this patch. Before
        resizing the patches of an image sum to at most 1.

    Raises:
        InputError: bad images or parameters.
        LayerError: a network without attention, with attention inside windows, or with a number
            of tokens that changes from layer to layer or makes no grid.
        ModelStateError: train mode.

    Source: Abnar & Zuidema, 2020, arXiv 2005.00928.
    """
    if heads not in get_args(HeadFusion):
        raise InputError("heads", expected=f"one of {get_args(HeadFusion)}", got=repr(heads))
    if start not in get_args(Start):
        raise InputError("start", expected=f"one of {get_args(Start)}", got=repr(start))
    if not 0.0 <= discard < 1.0:
        raise InputError("discard", expected="a share in [0, 1)", got=repr(discard))
    classifier.require_eval()
    if not isinstance(target, Objective):
        check_images(images)
    size = (images.shape[2], images.shape[3])
    chunk = rows_per_pass(classifier, images, gradient=False, budget=budget)
    grids: list[Maps] = []
    done = 0
    while done < len(images):
        # The first image alone shows how large the attention matrices are.
        rows = images[done : done + (chunk if done else 1)]
        flow = _Flow(heads=heads, discard=discard)
        with plain_kernels(), AttentionReader(len(rows), flow.read):
            classifier(rows)
        if not done:
            chunk = max(1, min(chunk, budget // (4 * flow.largest or 1)))
        grids.append(_to_grid(flow, size, start, prefix_tokens))
        done += len(rows)
    maps = torch.cat(grids)
    return resize_maps(maps, size) if resized else maps


class _Flow:
    """The product of the attention matrices so far.

    Attributes:
        rollout: ``[rows, tokens, tokens]``, None before the first layer.
        pooling: ``[rows, tokens]``, weights of a last layer with one query, or None.
        largest: bytes of the largest attention matrix, all heads of all rows.
    """

    def __init__(self, *, heads: HeadFusion, discard: float) -> None:
        self.heads = heads
        self.discard = discard
        self.rollout: Tensor | None = None
        self.pooling: Tensor | None = None
        self.largest = 0

    def read(self, weights: Tensor) -> None:
        """Multiply one layer's attention ``[rows, heads, queries, keys]`` to the product."""
        self.largest = max(self.largest, weights.nbytes)
        fused = fuse_heads(weights, heads=self.heads, discard=self.discard)
        queries, keys = fused.shape[1:]
        tokens = None if self.rollout is None else self.rollout.shape[1]
        if queries == 1 and keys == tokens and self.pooling is None:
            self.pooling = fused[:, 0] / fused[:, 0].sum(dim=1, keepdim=True)
            return
        if queries != keys or tokens not in (None, keys) or self.pooling is not None:
            raise LayerError(
                "Attention rollout",
                expected="asked of a network in which every layer attends from all tokens to all",
                got=f"{queries} queries and {keys} keys"
                + ("" if tokens is None else f" after layers with {tokens} tokens"),
                hint="Use grad_cam.",
            )
        mixed = (fused + torch.eye(keys, dtype=fused.dtype, device=fused.device)) / 2
        mixed = mixed / mixed.sum(dim=2, keepdim=True)
        self.rollout = mixed if self.rollout is None else mixed @ self.rollout


def fuse_heads(weights: Tensor, *, heads: HeadFusion, discard: float) -> Tensor:
    """Return ``[rows, queries, keys]``: heads fused, the smallest weights of each image dropped."""
    if heads == "mean":
        fused = weights.mean(dim=1)
    else:
        fused = weights.amax(dim=1) if heads == "max" else weights.amin(dim=1)
    flat = fused.flatten(1)
    dropped = int(discard * flat.shape[1])
    if dropped:
        flat = flat.scatter(1, flat.topk(dropped, dim=1, largest=False).indices, 0)
    return flat.reshape(fused.shape)


def _to_grid(flow: _Flow, size: tuple[int, int], start: Start, prefix_tokens: int | None) -> Maps:
    """Return the chosen row of the rollout at the patches, ``[rows, down, across]``."""
    if flow.rollout is None:
        raise LayerError(
            "Attention rollout",
            expected="asked of a network with attention layers",
            got="a network in which no layer has softmax attention",
            hint="Use grad_cam for convolutional networks.",
        )
    tokens = flow.rollout.shape[1]
    grid = token_grid(tokens, size, prefix_tokens=prefix_tokens)
    if grid is None:
        raise LayerError(
            "The attention's tokens",
            expected=f"a grid of patches of a {size[0]} x {size[1]} image, and a few before them",
            got=f"{tokens} tokens",
            hint="Give prefix_tokens.",
        )
    prefix, down, across = grid
    if start == "class_token" and not prefix:
        raise InputError("start", expected="'mean': there is no class token", got="'class_token'")
    if flow.pooling is not None and start != "class_token":
        row = (flow.pooling[:, None] @ flow.rollout)[:, 0]
    elif prefix and start != "mean":
        row = flow.rollout[:, 0]
    else:
        row = flow.rollout[:, prefix:].mean(dim=1)
    return row[:, prefix:].reshape(-1, down, across)
