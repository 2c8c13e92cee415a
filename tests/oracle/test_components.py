"""Components against slow re-implementations, and what every family must leave alone."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn, idctn

from sundog.core.errors import InputError, UnknownNameError
from sundog.data.components.component import FAMILIES, Component, make_component
from sundog.data.components.jpeg_quality import UNKNOWN, encode, jpeg_qualities
from sundog.data.components.paint_over import paint_over
from sundog.data.components.stamp import stamp_masks

STAMP = {
    "factor": 1,
    "tolerance": 10,
    "threshold": 0.9,
    "offsets": [[0, 0], [0, 2], [2, 0], [2, 2], [1, 1]],
    "colours": [[255, 0, 0]] * 4 + [[0, 0, 255]],
}
MARK = {
    "class_index": 0,
    "factor": 1,
    "threshold": 0.8,
    "values": [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]],
    "weights": [[1.0, 1.0, 1.0]] * 3,
}
GIVEN = {
    "window": {"top": 0.25, "left": 0.5, "tall": 0.25, "wide": 0.375},
    "frame": {"thick": 0.1},
    "surround": {"keep": 0.8},
    "stamp": {"stamps": [STAMP]},
    "mark": {"marks": [MARK]},
}


def pair(height=24, width=32, count=3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.rand(count, 3, height, width, generator=draw),
        torch.rand(count, 3, height, width, generator=draw) * 0.6 + 0.1,
    )


def stamped(images, top, left):
    pixels = images.clone()
    for (dy, dx), colour in zip(STAMP["offsets"], STAMP["colours"], strict=True):
        pixels[:, :, top + dy, left + dx] = torch.tensor(colour, dtype=torch.float32) / 255
    return pixels


@pytest.mark.parametrize("family", FAMILIES)
def test_own_component_changes_nothing_and_rows_are_independent(family):
    images, donors = pair()
    component = make_component({"family": family, "parameters": GIVEN.get(family, {})})
    own = component.transfer(images, images)
    assert torch.allclose(own, images, atol=2e-6)
    whole = component.transfer(images, donors)
    single = torch.cat(
        [component.transfer(i[None], d[None]) for i, d in zip(images, donors, strict=True)]
    )
    assert torch.equal(whole, single)
    assert float(whole.min()) >= 0
    assert float(whole.max()) <= 1
    half = component.transfer(images, donors, opacity=0.5)
    assert torch.allclose(half, (images + whole) / 2, atol=1e-6)


@pytest.mark.parametrize("family", [name for name, row in FAMILIES.items() if row.mask])
def test_a_part_is_pasted_inside_its_mask_and_nowhere_else(family):
    images, donors = pair()
    component = Component(family, GIVEN[family])
    mask = component.mask(24, 32)
    moved = component.transfer(images, donors)
    assert torch.equal(moved[:, :, mask], donors[:, :, mask])
    assert torch.equal(moved[:, :, ~mask], images[:, :, ~mask])


def test_masks_by_hand():
    window = Component("window", GIVEN["window"]).mask(24, 32)
    assert window.nonzero().min(0).values.tolist() == [6, 16]
    assert window.nonzero().max(0).values.tolist() == [11, 27]
    frame = Component("frame", {"thick": 0.1}).mask(20, 30)
    assert int((~frame).sum()) == 16 * 26
    surround = Component("surround", {"keep": 0.8}).mask(24, 32)
    slow = np.array(
        [
            [((y + 0.5 - 12) / 9.6) ** 2 + ((x + 0.5 - 16) / 12.8) ** 2 > 1 for x in range(32)]
            for y in range(24)
        ]
    )
    assert np.array_equal(surround.numpy(), slow)


def test_colour_gives_the_donors_moments():
    images, donors = pair()
    images = images * 0.2 + 0.4  # far from the ends, so that nothing is clipped
    donors = donors * 0.2 + 0.3
    moved = Component("colour").transfer(images.double(), donors.double())
    for of in (torch.mean, torch.std):
        assert torch.allclose(of(moved, dim=(2, 3)), of(donors.double(), dim=(2, 3)), atol=1e-9)
    slow = np.empty(images.shape)
    for i in range(3):
        for c in range(3):
            x, d = images[i, c].double().numpy(), donors[i, c].double().numpy()
            slow[i, c] = (x - x.mean()) / x.std() * d.std() + d.mean()
    assert np.allclose(moved.numpy(), slow, atol=1e-9)


def test_a_cast_moves_between_images_whose_brightness_and_contrast_stay():
    images, donors = pair()
    images, donors = images.double() * 0.2 + 0.4, donors.double() * 0.2 + 0.3
    donors[:, 0] += 0.1
    moved = Component("cast").transfer(images, donors).numpy()
    for i in range(3):
        x, d = images[i].numpy(), donors[i].numpy()
        m, s = x.mean(axis=(1, 2)), x.std(axis=(1, 2))
        n, t = d.mean(axis=(1, 2)), d.std(axis=(1, 2))
        for c in range(3):
            goal = m.mean() + n[c] - n.mean(), s.mean() * t[c] / t.mean()
            slow = (x[c] - m[c]) / s[c] * goal[1] + goal[0]
            assert np.allclose(moved[i, c], slow, atol=1e-9)
        assert moved[i].mean() == pytest.approx(x.mean(), abs=1e-9)
    grey = images[:, :1].expand(-1, 3, -1, -1)
    other = donors[:, 1:2].expand(-1, 3, -1, -1)
    assert torch.allclose(Component("cast").transfer(grey, other), grey, atol=1e-9)


def test_illumination_moves_the_plane_and_keeps_the_mean():
    images, donors = pair()
    images, donors = images.double() * 0.2 + 0.4, donors.double() * 0.1 + 0.4
    moved = Component("illumination").transfer(images, donors)
    assert torch.allclose(moved.mean((2, 3)), images.mean((2, 3)), atol=1e-9)
    y, x = np.meshgrid(np.linspace(-1, 1, 24), np.linspace(-1, 1, 32), indexing="ij")
    for axis in (y, x):
        got = np.polyfit(axis.ravel(), moved[0, 0].numpy().ravel(), 1)[0]
        wanted = np.polyfit(axis.ravel(), donors[0, 0].numpy().ravel(), 1)[0]
        assert got == pytest.approx(wanted, abs=1e-6)


def test_detail_gives_the_donors_power_by_scipys_dct():
    images, donors = pair()
    images, donors = images.double() * 0.1 + 0.45, donors.double() * 0.1 + 0.4
    moved = Component("detail").transfer(images, donors)
    x, d = images[1, 2].numpy(), donors[1, 2].numpy()
    cut = lambda a: [a[i : i + 8, j : j + 8] for i in range(0, 24, 8) for j in range(0, 32, 8)]  # noqa: E731
    own = np.stack([dctn(b, norm="ortho") for b in cut(x)])
    theirs = np.stack([dctn(b, norm="ortho") for b in cut(d)])
    rms = lambda z: np.sqrt((z**2).mean(0))  # noqa: E731
    gain = np.minimum(rms(theirs) / np.maximum(rms(own), 1e-3), 4.0)
    gain[0, 0] = 1
    slow = np.empty_like(x)
    for number, block in enumerate(own * gain):
        i, j = divmod(number, 4)
        slow[8 * i : 8 * i + 8, 8 * j : 8 * j + 8] = idctn(block, norm="ortho")
    assert np.allclose(moved[1, 2].numpy(), np.clip(slow, 0, 1), atol=1e-9)


@pytest.mark.parametrize("quality", [10, 18, 46, 74, 92])
def test_the_quality_of_a_jpeg_is_read_from_its_pixels(quality):
    from skimage import data

    pixels = np.ascontiguousarray(data.astronaut()[64:208, 96:240])
    once = torch.tensor(encode(pixels, quality)).permute(2, 0, 1)[None] / 255
    assert jpeg_qualities(once) == [quality]
    assert jpeg_qualities(once) == [quality]  # remembered
    small = torch.nn.functional.interpolate(once, size=(100, 100), mode="bilinear", antialias=True)
    assert jpeg_qualities(small) == [UNKNOWN]
    assert jpeg_qualities(torch.full((1, 3, 32, 32), 0.5)) == [UNKNOWN]


def test_of_a_large_image_the_middle_is_read_whatever_surrounds_it():
    from skimage import data

    pixels = encode(np.ascontiguousarray(data.astronaut()[:320, :352]), 46).copy()
    pixels[:96], pixels[-96:] = 0, 255  # would hide the ghost, if they were looked at
    pixels[:, :96], pixels[:, -96:] = 255, 0
    whole = torch.tensor(pixels).permute(2, 0, 1)[None] / 255
    middle = whole[:, :, 112:208, 128:224]
    assert jpeg_qualities(whole) == jpeg_qualities(middle) == [46]


def test_a_read_quality_is_what_the_receiver_is_encoded_at():
    from skimage import data

    raw = np.ascontiguousarray(data.astronaut()[64:160, 96:192])
    other = np.ascontiguousarray(data.coffee()[100:196, 200:296])
    sharp = torch.tensor(raw).permute(2, 0, 1)[None].float() / 255
    donor = torch.tensor(encode(other, 18)).permute(2, 0, 1)[None].float() / 255
    moved = Component("compression").transfer(sharp, donor)
    assert torch.equal(moved[0], torch.tensor(encode(raw, 18)).permute(2, 0, 1).float() / 255)
    worse = torch.tensor(encode(raw, 10)).permute(2, 0, 1)[None].float() / 255
    assert torch.equal(Component("compression").transfer(worse, donor), worse)  # never made finer


def test_compression_follows_a_compressed_donor_and_never_makes_an_image_finer():
    draw = torch.Generator().manual_seed(3)
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 3, 8, 8, generator=draw), size=(32, 32), mode="bicubic"
    )
    image = (smooth + 0.05 * torch.randn(1, 3, 32, 32, generator=draw)).clamp(0, 1)
    stream = io.BytesIO()
    pixels = (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG", quality=8)
    coded = np.asarray(Image.open(stream).convert("RGB"), np.float32) / 255
    donor = torch.from_numpy(coded).permute(2, 0, 1)[None]
    moved = Component("compression").transfer(image, donor)
    assert torch.allclose(moved, donor, atol=1 / 255)
    assert torch.equal(Component("compression").transfer(donor, image), donor)


def test_placement_shifts_content_on_its_margin_and_leaves_full_images():
    ground = torch.full((1, 3, 20, 20), 0.2)
    image, donor = ground.clone(), ground.clone()
    image[:, :, 2:6, 3:7] = 0.9
    donor[:, :, 12:16, 10:14] = 0.6
    moved = Component("placement").transfer(image, donor)
    wanted = ground.clone()
    wanted[:, :, 12:16, 10:14] = 0.9
    assert torch.equal(moved, wanted)
    full, other = pair()
    assert torch.equal(Component("placement").transfer(full, other), full)


def test_stamp_is_found_anywhere_moved_and_its_own_painted_over():
    images, donors = pair()
    images = images * 0.3 + 0.3
    assert not stamp_masks(images, stamps=[STAMP]).any()
    receiver, giver = stamped(images, 3, 4), stamped(donors, 15, 20)
    mask = stamp_masks(giver, stamps=[STAMP])
    assert mask.flatten(1).sum(1).tolist() == [5, 5, 5]
    assert mask[0].nonzero().min(0).values.tolist() == [15, 20]
    moved = Component("stamp", GIVEN["stamp"]).transfer(receiver, giver)
    assert torch.equal(moved[:, :, mask[0]], giver[:, :, mask[0]])
    own = stamp_masks(receiver, stamps=[STAMP])
    assert torch.equal(moved, torch.where(mask[:, None], giver, paint_over(receiver, own)))
    gone = Component("stamp", GIVEN["stamp"]).transfer(receiver, donors)
    assert not stamp_masks(gone, stamps=[STAMP]).any()


def test_paint_over_takes_the_mean_of_the_ring():
    image = torch.zeros(1, 3, 11, 11)
    image[:, :, 5, 5] = 1.0
    image[:, 0] += 0.25
    mask = torch.zeros(1, 11, 11, dtype=torch.bool)
    mask[:, 5, 5] = True
    filled = paint_over(image, mask)
    assert filled[0, :, 5, 5].tolist() == pytest.approx([0.25, 0.0, 0.0])
    assert torch.equal(paint_over(image, mask & False), image)


def test_bad_input_is_refused():
    images, donors = pair()
    with pytest.raises(UnknownNameError):
        make_component({"family": "windw"})
    with pytest.raises(InputError, match="donors"):
        Component("colour").transfer(images, donors[:1])
    with pytest.raises(InputError, match="opacity"):
        Component("colour").transfer(images, donors, opacity=1.5)


def test_json_round_trip():
    for family in FAMILIES:
        component = Component(family, GIVEN.get(family, {}))
        assert make_component(component.to_dict()) == component
