"""The small vision transformer: its shape, its attention by hand, and the methods that read it."""

from __future__ import annotations

import torch

from sundog.explain.attribute import attribute
from sundog.models.small_vit import SelfAttention, SmallViT
from sundog.models.zoo import get_model


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_attention_is_softmax_of_scaled_products():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layer = SelfAttention(8, 2).double()
    tokens = draw(2, 5, 8).double()
    query, key, value = layer.all(tokens).split(8, dim=2)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = (query[..., part] @ key[..., part].mT / 2.0).softmax(dim=2)
        heads.append(weights @ value[..., part])
    expected = layer.out(torch.cat(heads, dim=2))
    torch.testing.assert_close(layer(tokens), expected)


def test_any_size_gives_49_tokens_and_one_row_per_image():
    network = SmallViT(3).eval()
    seen = []
    network.norm.register_forward_hook(lambda module, given, out: seen.append(out.shape))
    for side in (28, 32, 64, 112):
        assert network(draw(2, 3, side, side)).shape == (2, 3)
    assert {tuple(shape) for shape in seen} == {(2, 49, 64)}
    assert sum(p.numel() for p in network.parameters()) < 250_000


def test_layers_are_found_and_maps_have_the_size_of_the_image():
    classifier = get_model("small-vit", classes=4, input_size=28)
    assert (classifier.feature_layer, classifier.cam_layer) == ("head:input", "norm")
    images = draw(2, 3, 28, 28)
    for method in ("attention_rollout", "grad_cam", "gradient_x_input", "deep_lift"):
        assert attribute(classifier, images, method).maps.shape == (2, 28, 28)


def test_where_a_patch_is_matters():
    network = SmallViT(2).eval()
    image = draw(1, 3, 28, 28)
    assert not torch.allclose(network(image), network(image.flip(3)), atol=1e-4)
