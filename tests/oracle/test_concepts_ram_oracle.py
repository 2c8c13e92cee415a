"""RAM and RAM++ give the logits of the same network put together from timm and transformers."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from torch import nn

from sundog.concepts.ram import load_ram
from sundog.concepts.ram.position_bias import resize_bias_table
from sundog.concepts.tagger import Rows

timm_swin = pytest.importorskip("timm.models.swin_transformer")
modeling_bert = pytest.importorskip("transformers.models.bert.modeling_bert")

TAGS, TEXT, HIDDEN, INNER, HEADS, DESCRIPTIONS = 7, 12, 24, 40, 3, 5
SIZES = {
    "embed_dim": 8,
    "depths": [2, 3, 2],
    "num_heads": [2, 4, 8],
    "window_size": 4,
    "image_size": 64,
    "text_width": TEXT,
    "hidden_size": HIDDEN,
    "head_layers": 2,
    "head_heads": HEADS,
    "inner_size": INNER,
    "descriptions": DESCRIPTIONS,
}


class CrossOnly(nn.Module):
    """In place of a layer's self-attention: hands on what it gets."""

    def forward(self, hidden, *_, **__):
        return hidden, None


class Oracle(nn.Module):
    """RAM-shaped, from timm's Swin and transformers' BERT layers."""

    def __init__(self, kind, seed, scale=None):
        super().__init__()
        self.kind, self.scale = kind, scale
        self.swin = timm_swin.SwinTransformer(
            img_size=64,
            patch_size=4,
            embed_dim=8,
            depths=(2, 3, 2),
            num_heads=(2, 4, 8),
            window_size=4,
            num_classes=0,
            drop_path_rate=0.0,
        )
        config = modeling_bert.BertConfig(
            hidden_size=HIDDEN,
            num_attention_heads=HEADS,
            intermediate_size=INNER,
            is_decoder=True,
            add_cross_attention=True,
            layer_norm_eps=1e-12,
            hidden_act="gelu",
            attn_implementation="eager",
        )
        self.bert = nn.ModuleList(modeling_bert.BertLayer(config, layer_idx=i) for i in range(2))
        for layer in self.bert:
            layer.attention = CrossOnly()
            layer.crossattention.self.key = nn.Linear(TEXT, HIDDEN)
            layer.crossattention.self.value = nn.Linear(TEXT, HIDDEN)
        self.image_proj = nn.Linear(32, TEXT)
        self.wordvec_proj = nn.Linear(TEXT, HIDDEN)
        self.fc = nn.Linear(HIDDEN, 1)
        rows = TAGS * (DESCRIPTIONS if kind == "ram++" else 1)
        self.label_embed = nn.Parameter(torch.zeros(rows, TEXT))
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, p in self.named_parameters():
                gain = 0.3 if p.ndim < 2 else 1.5 / p[0].numel() ** 0.5
                gain = {"label_embed": 2.0, "fc.weight": 0.4}.get(name, gain)
                shift = 1 if "norm" in name.lower() and name.endswith("weight") else 0
                p.copy_(gain * torch.randn(p.shape, generator=rng) + shift)
                if "bias_table" in name:
                    p.mul_(4)
        self.eval()

    def forward(self, images):
        places = self.swin.forward_features(images).flatten(1, 2)
        tokens = torch.cat([places.mean(1, keepdim=True), places], dim=1)
        tokens = self.image_proj(tokens)
        texts = self.label_embed.reshape(TAGS, -1, TEXT)
        rows = []
        for image in tokens:  # one by one: nothing is shared between images
            asked = []
            for tag in texts:
                if self.kind == "ram":
                    asked.append(tag[0])
                    continue
                direction = image[0] / image[0].norm()
                weight = (tag @ direction * np.exp(self.scale)).softmax(0)
                asked.append(sum(w * d for w, d in zip(weight, tag, strict=True)))
            tags = torch.relu(self.wordvec_proj(torch.stack(asked)))[None]
            for layer in self.bert:
                tags = layer(tags, encoder_hidden_states=image[None])
            rows.append(self.fc(tags)[0, :, 0])
        return torch.stack(rows)

    def published(self):
        """The state dict under the names of the published checkpoints."""
        state = {}
        for name, value in self.state_dict().items():
            top, _, rest = name.partition(".")
            if top == "swin":
                if ".downsample." in rest:  # timm opens a stage with it, the authors close one
                    number = int(rest.split(".")[1])
                    rest = rest.replace(f"layers.{number}.", f"layers.{number - 1}.")
                name = f"visual_encoder.{rest}"
            elif top == "bert":
                name = f"tagging_head.encoder.layer.{rest}"
            state[name] = value.clone()
        return state


def _save(folder, oracle, **more):
    state = oracle.published()
    state["visual_encoder.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16)
    state["visual_encoder.layers.0.blocks.1.attn_mask"] = torch.zeros(16, 16, 16)
    state["logit_scale"] = torch.tensor(3.0)
    state.update(more)
    if oracle.kind == "ram":
        state["text_decoder.cls.predictions.bias"] = torch.zeros(9)
        state["tag_encoder.embeddings.position_ids"] = torch.zeros(1, 9, dtype=torch.int64)
    content = {
        "model": state,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-5}]},
        "config": {"vit": "swin_l"},
        "epoch": 9,
    }
    file = folder / "weights.pth"
    torch.save(content, file)
    (folder / "ram_tag_list.txt").write_text("\n".join(f"tag {i}" for i in range(TAGS)))
    (folder / "ram_tag_list_threshold.txt").write_text("0.65\n" * TAGS)
    return file


def _rows(images):
    n = len(images)
    return Rows(
        images=images,
        ids=tuple(map(str, range(n))),
        indices=np.arange(n),
        sources=("",) * n,
        labels=np.zeros(n, dtype=np.int64),
        metadata=pd.DataFrame(index=range(n)),
    )


@pytest.mark.parametrize("kind", ["ram", "ram++"])
def test_logits_are_those_of_the_independent_network(kind, tmp_path):
    oracle = Oracle(kind, seed=3, scale=np.log(1 / 0.07) if kind == "ram++" else None)
    tagger = load_ram(SIZES, _save(tmp_path, oracle), kind=kind)
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, got = oracle(images), tagger.network(images)
        assert expected.std() > 0.2  # the comparison can see something
        assert (expected - expected[0]).abs().max() > 0.05
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
        exact = oracle.double()(images.double())
        # float64: nothing but rounding is left, in RAM++ also of its float32 scale
        torch.testing.assert_close(
            tagger.network.double()(images.double()),
            exact,
            rtol=0,
            atol=1e-12 if kind == "ram" else 1e-6,
        )


def test_the_exact_scale_of_the_checkpoint_is_used_where_there_is_one(tmp_path):
    oracle = Oracle("ram++", seed=4, scale=1.25)
    tagger = load_ram(
        SIZES, _save(tmp_path, oracle, reweight_scale=torch.tensor(1.25)), kind="ram++"
    )
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        # float64: every step is the same operator, so that nothing but rounding is left
        torch.testing.assert_close(
            tagger.network.double()(images.double()),
            oracle.double()(images.double()),
            rtol=0,
            atol=1e-12,
        )
    assert not any("reweight_scale" in note for note in tagger.notes)


def test_scores_are_probabilities_of_images_prepared_as_published(tmp_path):
    transforms = pytest.importorskip("torchvision.transforms")
    oracle = Oracle("ram", seed=5)
    tagger = load_ram(SIZES, _save(tmp_path, oracle), batch_size=2)
    rng = np.random.default_rng(0)
    shapes = ((64, 64), (31, 90), (200, 73), (1, 1), (65, 64))
    pictures = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    published = transforms.Compose(
        [
            transforms.Resize((64, 64)),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    with torch.no_grad():
        batch = torch.stack([published(Image.fromarray(p)) for p in pictures])
        expected = 1 / (1 + np.exp(-oracle(batch).double().numpy()))
    scores = tagger.score(_rows(pictures))
    assert scores.dtype == np.float32
    assert scores.shape == (5, TAGS)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize(("old", "new"), [(12, 7), (7, 12), (12, 14), (3, 5), (4, 2)])
def test_position_biases_are_splines_through_spread_offsets(old, new):
    rng = np.random.default_rng(old * 31 + new)
    table = rng.normal(size=((2 * old - 1) ** 2, 2))
    steps, reach = old - 1, new - 1

    def excess(q):
        return sum(q**i for i in range(steps)) - reach

    if excess(1.01) >= 0:
        growth = 1.01
    elif excess(1.5) <= 0:
        growth = 1.5
    else:
        growth = brentq(excess, 1.01, 1.5, xtol=1e-14)
    half = np.array([sum(growth**i for i in range(k + 1)) for k in range(steps)])
    knots = np.concatenate([-half[::-1], [0], half])
    asked = np.clip(np.arange(-reach, reach + 1.0), knots[0], knots[-1])
    expected = []
    for head in table.T:
        grid = head.reshape(2 * old - 1, 2 * old - 1)
        down = CubicSpline(knots, grid, axis=0, bc_type="not-a-knot")(asked)
        expected.append(CubicSpline(knots, down, axis=1, bc_type="not-a-knot")(asked).ravel())
    got = resize_bias_table(torch.from_numpy(table), new)
    np.testing.assert_allclose(got.numpy(), np.stack(expected, axis=1), atol=2e-4)


def test_another_image_size_uses_interpolated_biases_and_says_so(tmp_path):
    oracle = Oracle("ram", seed=6)
    file = _save(tmp_path, oracle)
    sizes = {**SIZES, "window_size": 6, "image_size": 96}
    tagger = load_ram(sizes, file)
    assert any("interpolated" in note for note in tagger.notes)
    table = "layers.1.blocks.0.attn.relative_position_bias_table"
    expected = resize_bias_table(oracle.swin.get_parameter(table).data, 6)
    got = tagger.network.visual_encoder.get_parameter(table)
    torch.testing.assert_close(got.data, expected, rtol=0, atol=0)
    # the rest of the network is timm's at that size
    large = timm_swin.SwinTransformer(
        img_size=96,
        patch_size=4,
        embed_dim=8,
        depths=(2, 3, 2),
        num_heads=(2, 4, 8),
        window_size=6,
        num_classes=0,
        drop_path_rate=0.0,
    )
    small = oracle.swin.state_dict()
    large.load_state_dict(
        {name: resize_bias_table(v, 6) if "bias_table" in name else v for name, v in small.items()},
        strict=False,
    )
    oracle.swin = large.eval()
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(tagger.network(images), oracle(images), rtol=0, atol=1e-5)
