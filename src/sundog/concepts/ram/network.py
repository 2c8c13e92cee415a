"""RAM and RAM++: image encoder, text embeddings of the tags, tagging head."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sundog.concepts.ram.architecture import Kind, RamArchitecture
from sundog.concepts.ram.swin import SwinEncoder
from sundog.concepts.ram.tagging_head import TaggingHead

REWEIGHT_SCALE = math.log(1 / 0.07)
"""Log of the factor before the softmax over descriptions, where a checkpoint does not carry it."""
ROWS = 8192
"""Pairs of image and tag that are in the tagging head at once (about 200 MB for ``swin_l``)."""


class RamNetwork(nn.Module):
    """Logits of all tags for normalised images.

    With x the image tokens projected to the width of the text embeddings, x0 their summary and
    e the embeddings of a tag's text, the tag asks with ``relu(W q)``, where RAM has q = e (one
    per tag) and RAM++ has ``q = sum_d softmax_d(s <x0 / |x0|, e_d>) e_d`` over its descriptions.

    Source:
        RAM: Zhang et al., 2023, arXiv 2306.03514. RAM++: Huang et al., 2023, arXiv 2310.15200.

    Args:
        sizes: of the network.
        kind: ``ram`` or ``ram++``.
        tags: number of tags.
    """

    def __init__(self, sizes: RamArchitecture, *, kind: Kind, tags: int) -> None:
        super().__init__()
        self.kind = kind
        self.tags = tags
        width, hidden = sizes.text_width, sizes.hidden_size
        self.visual_encoder = SwinEncoder(sizes)
        self.image_proj = nn.Linear(sizes.vision_width, width)
        texts = tags * sizes.descriptions if kind == "ram++" else tags
        self.label_embed = nn.Parameter(torch.zeros(texts, width))
        self.wordvec_proj = nn.Identity() if hidden == width else nn.Linear(width, hidden)
        self.tagging_head = TaggingHead(sizes)
        self.fc = nn.Linear(hidden, 1)
        if kind == "ram++":
            self.reweight_scale = nn.Parameter(torch.zeros(()))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch tags"]:
        """Return the logits; sigmoid gives each tag's probability on its own."""
        tokens = self.image_proj(self.visual_encoder(images))
        texts = self.label_embed.view(self.tags, -1, self.label_embed.shape[-1])
        step = max(1, ROWS // len(images))
        parts = [self._logits(tokens, part) for part in torch.split(texts, step)]
        return torch.cat(parts, dim=1)

    def _logits(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        texts: Float[Tensor, "part descriptions width"],
    ) -> Float[Tensor, "batch part"]:
        if self.kind == "ram++":
            asked = self._weighted(tokens[:, 0], texts)
        else:
            asked = texts[:, 0].expand(len(tokens), -1, -1)
        tags = self.tagging_head(F.relu(self.wordvec_proj(asked)), tokens)
        return self.fc(tags)[..., 0]

    def _weighted(
        self,
        summary: Float[Tensor, "batch width"],
        texts: Float[Tensor, "part descriptions width"],
    ) -> Float[Tensor, "batch part width"]:
        """Return the mean of each tag's descriptions, weighted by their likeness to the image."""
        direction = summary / summary.norm(dim=-1, keepdim=True)
        likeness = self.reweight_scale.exp() * torch.einsum("bw,tdw->tbd", direction, texts)
        return torch.bmm(likeness.softmax(dim=-1), texts).transpose(0, 1)
