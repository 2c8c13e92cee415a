"""Planted cues against slow re-implementations of what they are."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from sundog.core.errors import InputError
from sundog.data.cues.colours import class_colour
from sundog.data.planting import CUES, make_cue

COLOURS = [
    [0.1215, 0.4666, 0.7058],
    [0.5490, 0.3372, 0.2941],
    [1.0000, 0.4980, 0.0549],
    [0.1725, 0.6274, 0.1725],
    [0.8392, 0.1529, 0.1568],
    [0.5803, 0.4039, 0.7411],
    [0.8901, 0.4666, 0.7607],
    [0.7372, 0.7411, 0.1333],
    [0.0901, 0.7450, 0.8117],
    [0.4980, 0.4980, 0.4980],
]


def images(count, height, width, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, height, width, generator=draw)


def ids(count):
    return [f"image-{i}" for i in range(count)]


def slow_pixel_artifact(image, label):
    """The practical's definition, one pixel at a time; image [224, 224, 3]."""
    h = int(math.fsum(image[:, :, 0].ravel().tolist())) % 30 + 140
    w = int(math.fsum(image[:, :, 1].ravel().tolist())) % 30 + 140
    out, mask = image.copy(), np.zeros((224, 224), dtype=bool)
    for r in range(224):
        for c in range(224):
            if r % 12 != label + 1 and h < r < h + 12 and c % 5 < 2 and w < c < w + 30:
                out[r, c] = COLOURS[label]
                mask[r, c] = True
    return out, mask


def test_pixel_artifact_is_the_practicals_at_224():
    batch = images(10, 224, 224)
    labels = torch.arange(10)
    planted = make_cue("pixel", class_count=10).plant(batch, labels, ids(10))
    for i in range(10):
        expected, mask = slow_pixel_artifact(batch[i].permute(1, 2, 0).numpy(), i)
        np.testing.assert_array_equal(planted.images[i].permute(1, 2, 0).numpy(), expected)
        np.testing.assert_array_equal(planted.masks[i].numpy(), mask)
        assert 0.0020 < mask.mean() < 0.0027


def test_pixel_artifact_of_a_black_image_lies_at_140():
    planted = make_cue("pixel", class_count=10).plant(
        torch.zeros(1, 3, 224, 224), torch.tensor([4]), ["black"]
    )
    rows, columns = torch.nonzero(planted.masks[0], as_tuple=True)
    assert (int(rows.min()), int(rows.max())) == (141, 151)
    assert (int(columns.min()), int(columns.max())) == (141, 166)
    assert 149 not in rows.tolist()  # 149 % 12 == 5: the missing row of class 4
    assert set((columns % 5).tolist()) == {0, 1}


@pytest.mark.parametrize("size", [(64, 64), (112, 112), (128, 96), (250, 230)])
def test_scaled_pixel_artifact_samples_the_224_canvas(size):
    batch = images(3, *size, seed=1)
    labels = torch.tensor([0, 5, 9])
    planted = make_cue("pixel", class_count=10).plant(batch, labels, ids(3))
    for i in range(3):
        sums = batch[i].double().sum(dim=(1, 2))
        h, w = int(sums[0]) % 30 + 140, int(sums[1]) % 30 + 140
        label = int(labels[i])
        for r in range(size[0]):
            row = math.floor((r + 0.5) * 224 / size[0])
            for c in range(size[1]):
                column = math.floor((c + 0.5) * 224 / size[1])
                inside = h < row < h + 12 and w < column < w + 30
                inside = inside and row % 12 != label + 1 and column % 5 < 2
                assert bool(planted.masks[i, r, c]) == inside
        share = planted.masks[i].float().mean()
        assert 0.001 < float(share) < 0.005


def test_pixel_artifact_never_vanishes_on_small_images():
    for side in (1, 2, 7, 16, 28):
        planted = make_cue("pixel", class_count=10).plant(
            images(20, side, side, seed=side), torch.arange(20) % 10, ids(20)
        )
        assert bool((planted.masks.flatten(1).sum(dim=1) >= 1).all())


def test_more_than_ten_classes_stay_distinct():
    colours = np.array([class_colour(i) for i in range(1000)])
    assert colours[:10].tolist() == COLOURS
    distance = np.abs(colours[:, None] - colours[None]).max(axis=2) + np.eye(1000)
    assert distance.min() > 1 / 255  # still distinct in an 8-bit file
    assert colours.min() >= 0
    assert colours.max() <= 1
    black = torch.zeros(24, 3, 224, 224)
    planted = make_cue("pixel", class_count=24).plant(black, torch.arange(24), ids(24))
    rows = [set(torch.nonzero(m)[:, 0].tolist()) for m in planted.masks]
    for i in range(24):  # rows 141..151 are 9, 10, 11, 0, ..., 7 modulo 12
        gone = {r % 12 for r in range(141, 152)} - {r % 12 for r in rows[i]}
        assert gone == {i % 11 + 1} - {8}
    assert len({tuple(p.flatten().tolist()) for p in planted.images}) == 24


def test_patch_border_and_tint_by_hand():
    batch = images(2, 40, 60)
    labels = torch.tensor([2, 7])
    patch = make_cue("patch", class_count=10, size=0.2, margin=0.1).plant(batch, labels, ids(2))
    expected = batch.clone()
    for i, label in enumerate((2, 7)):
        expected[i, :, 28:36, 48:56] = torch.tensor(COLOURS[label])[:, None, None]
    assert torch.equal(patch.images, expected)
    assert int(patch.masks.sum()) == 2 * 64

    border = make_cue("border", class_count=10, width=0.05).plant(batch, labels, ids(2))
    assert torch.equal(border.images[:, :, 2:-2, 2:-2], batch[:, :, 2:-2, 2:-2])
    edge = border.images[0][:, border.masks[0]]
    assert torch.equal(edge, torch.tensor(COLOURS[2])[:, None].expand(-1, edge.shape[1]))
    assert int(border.masks[0].sum()) == 40 * 60 - 36 * 56

    tint = make_cue("tint", class_count=10, amount=0.3).plant(batch, labels, ids(2))
    colour = torch.tensor(COLOURS)[labels][:, :, None, None]
    torch.testing.assert_close(tint.images, 0.7 * batch + 0.3 * colour)
    assert bool(tint.masks.all())


def test_conjunction_by_hand():
    batch = images(40, 40, 60)
    labels = torch.arange(40) % 4
    cue = make_cue("conjunction", class_count=4, amount=0.3, size=0.2, margin=0.1)
    planted = cue.plant(batch, labels, ids(40))
    colours = torch.tensor([COLOURS[0], COLOURS[2]])
    drawn = []
    for i, label in enumerate(labels.tolist()):
        for first in (0, 1):
            expected = 0.7 * batch[i] + 0.3 * colours[(first + label) % 2][:, None, None]
            expected[:, 28:36, 48:56] = colours[first][:, None, None]
            if torch.allclose(expected, planted.images[i]):
                drawn.append((label, first))
    assert len(drawn) == 40  # exactly one of the two explains each image
    assert {(label, first) for label in range(4) for first in (0, 1)} == set(drawn)


def test_background_is_outside_the_ellipse():
    batch = images(1, 30, 50)
    planted = make_cue("background", class_count=10, keep=0.6).plant(
        batch, torch.tensor([3]), ids(1)
    )
    for r in range(30):
        for c in range(50):
            y, x = (r + 0.5 - 15) / (0.6 * 15), (c + 0.5 - 25) / (0.6 * 25)
            assert bool(planted.masks[0, r, c]) == (y * y + x * x > 1)
    outside = planted.images[0][:, planted.masks[0]]
    shades = {tuple(np.round(p, 5)) for p in outside.T.double().numpy()}
    full = np.array(COLOURS[3])
    assert shades == {tuple(np.round(full, 5)), tuple(np.round(0.4 * full, 5))}


def test_background_textures_differ_between_classes():
    grey = torch.full((10, 3, 64, 64), 0.5)
    planted = make_cue("background", class_count=10).plant(grey, torch.arange(10), ids(10))
    pattern = [
        tuple((p.sum(dim=0) > p.sum(dim=0).amin() + 1e-3).flatten().tolist())
        for p in planted.images[:5]
    ]
    assert len(set(pattern)) == 5


def test_levels_by_hand():
    batch = images(3, 20, 20)
    labels = torch.tensor([0, 1, 2])
    bright = make_cue("brightness", class_count=3, first=0.5, last=1.5).plant(batch, labels, ids(3))
    gains = torch.tensor([0.5, 1.0, 1.5])[:, None, None, None]
    torch.testing.assert_close(bright.images, (batch * gains).clamp(0, 1))

    blur = make_cue("blur", class_count=3, first=0.02, last=0.08).plant(batch, labels, ids(3))
    for i, sigma in enumerate((0.4, 0.8, 1.6)):
        radius = math.ceil(3 * sigma)
        for channel in range(3):
            expected = ndimage.gaussian_filter(
                batch[i, channel].double().numpy(), sigma, mode="nearest", radius=radius
            )
            np.testing.assert_allclose(blur.images[i, channel].numpy(), expected, atol=1e-6)

    jpeg = make_cue("jpeg", class_count=3, first=90, last=10).plant(batch, labels, ids(3))
    for i, quality in enumerate((90, 50, 10)):
        stream = io.BytesIO()
        pixels = np.rint(batch[i].permute(1, 2, 0).double().numpy() * 255).astype(np.uint8)
        Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling="4:2:0")
        expected = np.array(Image.open(stream)).astype(np.float32) / 255
        np.testing.assert_array_equal(jpeg.images[i].permute(1, 2, 0).numpy(), expected)


def test_position_places_the_content_on_a_grid():
    white = torch.ones(4, 3, 20, 20)
    planted = make_cue("position", class_count=4, scale=0.5).plant(white, torch.arange(4), ids(4))
    corners = [(0, 0), (0, 10), (10, 0), (10, 10)]
    for image, (top, left) in zip(planted.images, corners, strict=True):
        expected = torch.zeros(3, 20, 20)
        expected[:, top : top + 10, left : left + 10] = 1
        torch.testing.assert_close(image, expected)


def test_text_differs_by_class_and_stays_in_its_mask():
    batch = images(3, 128, 128)
    cue = make_cue("text", class_count=3, texts=["cat", "dog", "cow"], opacity=1.0)
    planted = cue.plant(batch, torch.arange(3), ids(3))
    inks = []
    for i in range(3):
        changed = (planted.images[i] != batch[i]).any(dim=0)
        assert bool((changed <= planted.masks[i]).all())
        assert float(planted.images[i][:, planted.masks[i]].max()) == 1.0  # white glyphs
        assert float(planted.images[i][:, planted.masks[i]].min()) < 0.02  # dark outline
        inks.append(tuple(planted.masks[i].flatten().tolist()))
    assert len(set(inks)) == 3


def test_binary_cue_has_one_value_and_is_absent_elsewhere():
    batch = images(3, 32, 32)
    labels = torch.tensor([0, 1, 2])
    for name in CUES:
        cue = make_cue(name, class_count=3, target_class=1)
        planted = cue.plant(batch, labels, ids(3))
        assert planted.present.tolist() == [False, True, False]
        assert planted.cue_class.tolist() == [0, 1, 2]
        assert planted.aligned.all()
        assert torch.equal(planted.images[[0, 2]], batch[[0, 2]])
        assert not planted.masks[[0, 2]].any()
        assert not torch.equal(planted.images[1], batch[1])


def test_bad_cues_are_refused():
    with pytest.raises(InputError, match="Did you mean 'patch'"):
        make_cue("pach", class_count=3)
    with pytest.raises(InputError, match="Did you mean 'size'"):
        make_cue("patch", class_count=3, sise=0.2)
    with pytest.raises(InputError, match="class_count must be >= 2"):
        make_cue("patch", class_count=1)
    with pytest.raises(InputError, match="strength must be a probability"):
        make_cue("patch", class_count=3, strength=1.2)
    with pytest.raises(InputError, match="strength must be a probability"):
        make_cue("patch", class_count=3, strength=float("nan"))
    with pytest.raises(InputError, match=r"target_class must be in 0..2; got 3"):
        make_cue("patch", class_count=3, target_class=3)
    for name, bad in (
        ("patch", {"size": 0}),
        ("patch", {"corner": "middle"}),
        ("text", {"texts": ["a"]}),
        ("text", {"opacity": float("nan")}),
        ("border", {"width": 0.6}),
        ("tint", {"amount": 1.5}),
        ("background", {"keep": 0}),
        ("conjunction", {"amount": 0}),
        ("conjunction", {"corner": "middle"}),
        ("brightness", {"first": 1.0, "last": 1.0}),
        ("blur", {"last": 0.5}),
        ("jpeg", {"first": 100}),
        ("position", {"scale": 1.0}),
    ):
        with pytest.raises(InputError):
            make_cue(name, class_count=3, **bad)
    cue = make_cue("patch", class_count=3)
    good = images(1, 8, 8)
    for batch, labels, names, words in (
        (good, [-1], ["a"], "Unlabelled"),
        (good, [3], ["a"], r"in 0..2"),
        (good * float("nan"), [0], ["a"], "finite"),
        (good * 2, [0], ["a"], r"in \[0, 1\]"),
        (good[0], [0], ["a"], "batch, 3"),
        (good, [0, 1], ["a"], "labels must be one per image"),
        (good, [0, 1], ["a", "b"], "ids must be one per image"),
    ):
        with pytest.raises(InputError, match=words):
            cue.plant(batch, torch.tensor(labels), names)
    with pytest.raises(InputError, match="larger"):
        make_cue("text", class_count=3).plant(images(1, 4, 4), torch.tensor([0]), ["a"])
    with pytest.raises(InputError, match="room for"):
        make_cue("position", class_count=9).plant(images(1, 4, 4), torch.tensor([0]), ["a"])
