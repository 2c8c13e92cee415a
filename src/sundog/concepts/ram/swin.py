"""The image encoder: a Swin Transformer whose parameters are named as in published checkpoints."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sundog.concepts.ram.architecture import PATCH, RamArchitecture
from sundog.concepts.ram.windows import cut_windows, join_windows, relative_positions, shift_mask

Maps = Float[Tensor, "batch side side channels"]


class WindowAttention(nn.Module):
    """Self-attention inside each window, with a learned bias per relative position."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        windows: Float[Tensor, "batch windows places channels"],
        mask: Float[Tensor, "windows places places"] | None,
    ) -> Float[Tensor, "batch windows places channels"]:
        """Return softmax(q k' / sqrt(d) + bias + mask) v, projected."""
        batch, count, places, channels = windows.shape
        qkv = self.qkv(windows).view(batch, count, places, 3, self.heads, channels // self.heads)
        # One row of "heads" per window and head, so that each window can have its own mask.
        query, key, value = qkv.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
        index = relative_positions(self.window).to(windows.device)
        bias = self.relative_position_bias_table[index].permute(2, 0, 1).expand(count, -1, -1, -1)
        if mask is not None:
            bias = bias + mask[:, None].to(windows.device)
        seen = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.reshape(1, count * self.heads, places, places)
        )
        seen = seen.view(batch, count, self.heads, places, -1).transpose(2, 3)
        return self.proj(seen.reshape(batch, count, places, channels))


class Block(nn.Module):
    """Window attention and a two-layer network, each on the normalised map and added to it."""

    def __init__(self, width: int, heads: int, *, side: int, window: int, shift: int) -> None:
        super().__init__()
        self.side, self.window, self.shift = side, window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )

    def forward(self, maps: Maps) -> Maps:
        """Return the map after both steps."""
        moved, mask = self.norm1(maps), None
        if self.shift:
            moved = torch.roll(moved, (-self.shift, -self.shift), dims=(1, 2))
            mask = shift_mask(self.side, self.window, self.shift)
        moved = join_windows(self.attn(cut_windows(moved, self.window), mask), self.side)
        if self.shift:
            moved = torch.roll(moved, (self.shift, self.shift), dims=(1, 2))
        maps = maps + moved
        return maps + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(maps))))


class PatchMerging(nn.Module):
    """Half the side, twice the channels: four neighbours side by side, normalised, projected."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, maps: Maps) -> Maps:
        """Return the merged map; neighbours go down the first column, then down the second."""
        upper, lower = maps[:, 0::2], maps[:, 1::2]
        four = (upper[:, :, 0::2], lower[:, :, 0::2], upper[:, :, 1::2], lower[:, :, 1::2])
        return self.reduction(self.norm(torch.cat(four, dim=-1)))


class Stage(nn.Module):
    """Blocks whose windows are in place and shifted in turn, then patch merging but for the last.

    A map that is one window is never shifted.
    """

    def __init__(self, sizes: RamArchitecture, stage: int) -> None:
        super().__init__()
        side, window = sizes.side(stage), sizes.window(stage)
        self.blocks = nn.ModuleList(
            Block(
                sizes.width(stage),
                sizes.num_heads[stage],
                side=side,
                window=window,
                shift=window // 2 if number % 2 and side > window else 0,
            )
            for number in range(sizes.depths[stage])
        )
        last = stage == len(sizes.depths) - 1
        self.downsample = None if last else PatchMerging(sizes.width(stage))

    def forward(self, maps: Maps) -> Maps:
        """Return the map for the next stage."""
        for block in self.blocks:
            maps = block(maps)
        return maps if self.downsample is None else self.downsample(maps)


class SwinEncoder(nn.Module):
    """From images to one token per place of the last map, with their mean in front.

    Source:
        Liu et al., 2021, arXiv 2103.14030.

    Args:
        sizes: of the network.
    """

    def __init__(self, sizes: RamArchitecture) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict(
            {
                "proj": nn.Conv2d(3, sizes.embed_dim, kernel_size=PATCH, stride=PATCH),
                "norm": nn.LayerNorm(sizes.embed_dim),
            }
        )
        self.layers = nn.ModuleList(Stage(sizes, stage) for stage in range(len(sizes.depths)))
        self.norm = nn.LayerNorm(sizes.vision_width)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch tokens channels"]:
        """Return ``float[batch, 1 + places, channels]`` for normalised images."""
        maps = self.patch_embed["norm"](self.patch_embed["proj"](images).permute(0, 2, 3, 1))
        for stage in self.layers:
            maps = stage(maps)
        tokens = self.norm(maps).flatten(1, 2)
        return torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
