"""The tagging head: each tag looks at the image on its own, without looking at other tags."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sundog.concepts.ram.architecture import RamArchitecture

EPS = 1e-12
"""Of BERT's layer norms."""
Tags = Float[Tensor, "batch tags hidden"]
Tokens = Float[Tensor, "batch tokens text_width"]


class CrossAttention(nn.Module):
    """Tags ask, image tokens answer; the answer is projected, added to the tag and normalised."""

    def __init__(self, sizes: RamArchitecture) -> None:
        super().__init__()
        hidden = sizes.hidden_size
        self.heads = sizes.head_heads
        self.self = nn.ModuleDict(
            {
                "query": nn.Linear(hidden, hidden),
                "key": nn.Linear(sizes.text_width, hidden),
                "value": nn.Linear(sizes.text_width, hidden),
            }
        )
        self.output = nn.ModuleDict(
            {"dense": nn.Linear(hidden, hidden), "LayerNorm": nn.LayerNorm(hidden, eps=EPS)}
        )

    def forward(self, tags: Tags, tokens: Tokens) -> Tags:
        """Return LayerNorm(tags + dense(softmax(q k' / sqrt(d)) v))."""
        query, key, value = (
            self.self[name](source).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name, source in (("query", tags), ("key", tokens), ("value", tokens))
        )
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return self.output["LayerNorm"](self.output["dense"](seen) + tags)


class HeadLayer(nn.Module):
    """One layer: cross-attention, then a two-layer network, added to the tag and normalised."""

    def __init__(self, sizes: RamArchitecture) -> None:
        super().__init__()
        hidden, inner = sizes.hidden_size, sizes.inner_size
        self.crossattention = CrossAttention(sizes)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(hidden, inner)})
        self.output = nn.ModuleDict(
            {"dense": nn.Linear(inner, hidden), "LayerNorm": nn.LayerNorm(hidden, eps=EPS)}
        )

    def forward(self, tags: Tags, tokens: Tokens) -> Tags:
        """Return the tags after both steps."""
        seen = self.crossattention(tags, tokens)
        inner = F.gelu(self.intermediate["dense"](seen))
        return self.output["LayerNorm"](self.output["dense"](inner) + seen)


class TaggingHead(nn.Module):
    """A BERT with cross-attention whose self-attention was taken out.

    Because no tag sees another, the head may be given the tags in parts.

    Source:
        Zhang et al., 2023, arXiv 2306.03514; the design is Query2Label: Liu et al., 2021,
        arXiv 2107.10834.

    Args:
        sizes: of the network.
    """

    def __init__(self, sizes: RamArchitecture) -> None:
        super().__init__()
        layers = nn.ModuleList(HeadLayer(sizes) for _ in range(sizes.head_layers))
        self.encoder = nn.ModuleDict({"layer": layers})

    def forward(self, tags: Tags, tokens: Tokens) -> Tags:
        """Return ``float[batch, tags, hidden]``."""
        for layer in self.encoder["layer"].children():
            tags = layer(tags, tokens)
        return tags
