"""A small vision transformer that learns from a few thousand images on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRID = 7
"""Tokens per side."""


class SmallViT(nn.Module):
    """A transformer over a 7 x 7 grid of patches, for square images of 28 to 128 px.

    ``(conv 3x3 stride 2, batch norm, ReLU) x 2, 7 x 7 means, + position, 3 x block, layer norm,
    mean over the tokens, linear``. The two convolutions in front replace the cut into patches:
    small transformers learn with them where they fail without (Xiao et al., 2021). A block is
    ``x + attention(norm(x)), x + mlp(norm(x))``.

    Args:
        classes: number of outputs.
        channels: 3, or 1 for grey images.
        width: of a token.
        depth: number of blocks.
        heads: of the attention; a divisor of ``width``.

    Source:
        Dosovitskiy et al., 2020, arXiv 2010.11929; Xiao et al., 2021, arXiv 2106.14881.
    """

    def __init__(
        self, classes: int, *, channels: int = 3, width: int = 64, depth: int = 3, heads: int = 4
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((channels, width // 2), (width // 2, width)):
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.stem = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(GRID)
        self.position = nn.Parameter(0.02 * torch.randn(1, GRID * GRID, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``float[batch, classes]``."""
        tokens = self.pool(self.stem(images)).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


class TransformerBlock(nn.Module):
    """Attention and a hidden layer of four times the width, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, 4 * width)
        self.gelu = nn.GELU()
        self.out = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``float[batch, tokens, width]``."""
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.out(self.gelu(self.hidden(self.norm2(tokens))))


class SelfAttention(nn.Module):
    """Softmax attention between all tokens, in several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.all = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``float[batch, tokens, width]``."""
        batch, count, width = tokens.shape
        parts = self.all(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).reshape(batch, count, width))
