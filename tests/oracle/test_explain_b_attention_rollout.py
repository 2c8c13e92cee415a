"""Attention rollout against attention computed by hand from the weights of small transformers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sundog.core.errors import InputError, LayerError, ModelStateError
from sundog.explain.attention_rollout import attention_rollout, fuse_heads
from sundog.models.classifier import Classifier

D = torch.float64


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=D)


def seeded(make, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make().double().eval()
        for parameter in network.parameters():
            # Far from uniform attention, so that a wrong layer or head would show.
            parameter.data.add_(torch.randn_like(parameter) * 0.3)
    return network


def weights_by_hand(tokens, project, heads):
    """Softmax of q k / sqrt(d), ``[batch, heads, n, n]``, from the stacked projection."""
    batch, count, width = tokens.shape
    q, k, v = project(tokens).reshape(batch, count, 3, heads, width // heads).unbind(2)
    score = torch.einsum("bqhd,bkhd->bhqk", q, k) / (width // heads) ** 0.5
    return score.softmax(-1), v


def slow_rollout(matrices, row):
    """One image, matrices ``[heads, n, n]``: plain loops over layers and rows."""
    total = torch.eye(matrices[0].shape[-1], dtype=D)
    for attention in matrices:
        mixed = 0.5 * attention.mean(0) + 0.5 * torch.eye(attention.shape[-1], dtype=D)
        for i in range(len(mixed)):
            mixed[i] = mixed[i] / mixed[i].sum()
        total = mixed @ total
    return row(total)


class Block(nn.Module):
    """A transformer block whose attention is written in one of several ways."""

    def __init__(self, width: int, heads: int, style: str) -> None:
        super().__init__()
        self.heads, self.style = heads, style
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = (
            t.reshape(b, n, self.heads, -1).transpose(1, 2)
            for t in self.project(self.norm(x)).chunk(3, -1)
        )
        if self.style == "fused":
            out = F.scaled_dot_product_attention(q, k, v)
        elif self.style == "by hand":
            out = F.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1) @ v
        else:
            q, k, v = (t.flatten(0, 1) for t in (q, k, v))
            out = torch.bmm((q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1), v)
            out = out.reshape(b, self.heads, n, -1)
        x = x + out.transpose(1, 2).reshape(b, n, c)
        return x + self.mlp(x)


class SmallTransformer(nn.Module):
    def __init__(self, style: str = "fused", prefix: int = 1, depth: int = 3) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.prefix = nn.Parameter(torch.randn(1, prefix, 8))
        self.blocks = nn.ModuleList(Block(8, 2, style) for _ in range(depth))
        self.head = nn.Linear(8, 3)

    def tokens(self, x):
        z = self.embed(x).flatten(2).transpose(1, 2)
        return torch.cat([self.prefix.expand(len(z), -1, -1), z], 1)

    def forward(self, x):
        z = self.tokens(x)
        for block in self.blocks:
            z = block(z)
        return self.head(z[:, 0] if self.prefix.shape[1] else z.mean(1))

    def matrices(self, x):
        """Attention of each layer, ``[batch, heads, n, n]``, computed apart from the blocks."""
        z, found = self.tokens(x), []
        for block in self.blocks:
            attention, _ = weights_by_hand(block.norm(z), block.project, block.heads)
            found.append(attention.detach())
            z = block(z)
        return found


@pytest.mark.parametrize("style", ["fused", "by hand", "merged heads"])
@pytest.mark.parametrize("prefix", [1, 0])
def test_equals_a_slow_copy_however_attention_is_written(style, prefix):
    network = seeded(lambda: SmallTransformer(style, prefix))
    images = rand(3, 3, 16, 12)
    found = attention_rollout(Classifier(network).double(), images, resized=False)
    matrices = network.matrices(images)
    row = (lambda r: r[0, 1:]) if prefix else (lambda r: r.mean(0))
    for n in range(3):
        expected = slow_rollout([m[n] for m in matrices], row).reshape(4, 3)
        torch.testing.assert_close(found[n], expected, rtol=0, atol=1e-13)
    large = attention_rollout(Classifier(network).double(), images)
    resized = F.interpolate(found[:, None], size=(16, 12), mode="bilinear")[:, 0]
    torch.testing.assert_close(large, resized, rtol=0, atol=1e-14)


def test_equals_a_slow_copy_on_torchvision():
    models = pytest.importorskip("torchvision.models")
    network = seeded(lambda: models.VisionTransformer(16, 4, 3, 4, 16, 32, num_classes=5))
    images = rand(2, 3, 16, 16)
    found = attention_rollout(Classifier(network).double(), images, resized=False)
    tokens = network._process_input(images)
    tokens = torch.cat([network.class_token.expand(2, -1, -1), tokens], 1)
    tokens = tokens + network.encoder.pos_embedding
    matrices = []
    for layer in network.encoder.layers:
        attention = layer.self_attention

        def project(z, attention=attention):
            return F.linear(z, attention.in_proj_weight, attention.in_proj_bias)

        matrices.append(weights_by_hand(layer.ln_1(tokens), project, 4)[0].detach())
        tokens = layer(tokens)
    for n in range(2):
        expected = slow_rollout([m[n] for m in matrices], lambda r: r[0, 1:]).reshape(4, 4)
        torch.testing.assert_close(found[n], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("fused", [True, False])
def test_equals_a_slow_copy_on_timm(fused):
    timm = pytest.importorskip("timm")
    network = seeded(
        lambda: timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, num_classes=4)
    )
    for block in network.blocks:
        block.attn.fused_attn = fused
    images = rand(2, 3, 64, 64)
    found = attention_rollout(Classifier(network).double(), images, resized=False)
    tokens = network._pos_embed(network.patch_embed(images))
    matrices = []
    for block in network.blocks:
        weights, _ = weights_by_hand(block.norm1(tokens), block.attn.qkv, block.attn.num_heads)
        matrices.append(weights.detach())
        tokens = block(tokens)
    for n in range(2):
        expected = slow_rollout([m[n] for m in matrices], lambda r: r[0, 1:]).reshape(4, 4)
        torch.testing.assert_close(found[n], expected, rtol=0, atol=1e-12)


def test_equals_the_attentions_that_hugging_face_returns():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        num_labels=3,
        attn_implementation="eager",
    )
    network = seeded(lambda: transformers.ViTForImageClassification(config))
    images = rand(2, 3, 32, 32)
    matrices = [a.detach() for a in network(images, output_attentions=True).attentions]
    # The eager form rounds the weights to float32.
    network.set_attn_implementation("sdpa")
    found = attention_rollout(Classifier(network).double(), images, resized=False)
    for n in range(2):
        expected = slow_rollout([m[n] for m in matrices], lambda r: r[0, 1:]).reshape(4, 4)
        torch.testing.assert_close(found[n], expected, rtol=0, atol=1e-7)


def test_heads_and_discarding():
    weights = rand(2, 3, 4, 4, seed=1)
    assert torch.equal(fuse_heads(weights, heads="max", discard=0), weights.amax(1))
    assert torch.equal(fuse_heads(weights, heads="min", discard=0), weights.amin(1))
    kept = fuse_heads(weights, heads="mean", discard=0.5)
    mean = weights.mean(1)
    for n in range(2):
        middle = mean[n].flatten().sort().values[8]
        assert torch.equal(kept[n], torch.where(mean[n] < middle, 0, mean[n]))


def test_attention_pooling_gives_the_row():
    class Pooled(SmallTransformer):
        def forward(self, x):
            z = self.tokens(x)
            for block in self.blocks:
                z = block(z)
            query = self.head.weight[:1].expand(len(z), 1, 8)[:, None]
            return self.head(F.scaled_dot_product_attention(query, z[:, None], z[:, None])[:, 0, 0])

    network = seeded(lambda: Pooled("fused", 0))
    images = rand(1, 3, 16, 16)
    found = attention_rollout(Classifier(network).double(), images, resized=False)
    z = network.tokens(images)
    for block in network.blocks:
        z = block(z)
    pooling = (z[0] @ network.head.weight[0] / 8**0.5).softmax(0).detach()
    matrices = [m[0] for m in network.matrices(images)]
    expected = slow_rollout(matrices, lambda r: pooling @ r).reshape(4, 4)
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-13)


def test_map_follows_a_planted_patch():
    """Every token attends to the one patch that is bright."""
    network = seeded(lambda: SmallTransformer("fused", 1, depth=2))
    with torch.no_grad():
        network.embed.weight.fill_(1.0)
        network.embed.bias.zero_()
        network.prefix.zero_()
        for block in network.blocks:
            block.norm = nn.Identity()
            block.project.weight.zero_()
            block.project.bias.zero_()
            block.project.weight[8:16] = torch.eye(8)
            block.project.bias[:8] = 1.0
    images = torch.zeros(1, 3, 16, 16, dtype=D)
    images[:, :, 4:8, 8:12] = 1.0
    grid = attention_rollout(Classifier(network).double(), images, resized=False)[0]
    assert divmod(int(grid.argmax()), 4) == (1, 2)
    assert float(grid[1, 2]) > 0.7


def test_independent_of_target_batch_and_budget():
    classifier = Classifier(seeded(SmallTransformer)).double()
    images = rand(4, 3, 16, 16)
    together = attention_rollout(classifier, images)
    for other in (
        torch.cat([attention_rollout(classifier, one[None]) for one in images]),
        attention_rollout(classifier, images, budget=1),
        attention_rollout(classifier, images, 2),
    ):
        torch.testing.assert_close(other, together, rtol=0, atol=1e-14)


def test_refusals_in_plain_words():
    images = rand(2, 3, 16, 16)
    plain = seeded(lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    with pytest.raises(LayerError, match="no layer has softmax attention"):
        attention_rollout(Classifier(plain).double(), images)
    classifier = Classifier(seeded(SmallTransformer)).double()
    with pytest.raises(InputError, match="heads must be"):
        attention_rollout(classifier, images, heads="median")
    with pytest.raises(InputError, match="discard must be"):
        attention_rollout(classifier, images, discard=1.0)
    with pytest.raises(InputError, match="start must be one of"):
        attention_rollout(classifier, images, start="first")
    with pytest.raises(LayerError, match="grid of patches"):
        attention_rollout(classifier, images, prefix_tokens=2)
    bare = Classifier(seeded(lambda: SmallTransformer("fused", 0))).double()
    with pytest.raises(InputError, match="there is no class token"):
        attention_rollout(bare, images, start="class_token")
    with pytest.raises(InputError, match="finite"):
        attention_rollout(classifier, images.where(images > 0.1, torch.nan))
    with pytest.raises(ModelStateError, match="eval mode"):
        attention_rollout(classifier.train(), images)


def test_windows_are_refused():
    models = pytest.importorskip("torchvision.models")
    network = models.SwinTransformer([4, 4], 8, [2], [2], [2, 2], num_classes=3).eval()
    with pytest.raises(LayerError, match="inside windows"):
        attention_rollout(Classifier(network), rand(1, 3, 16, 16).float())
