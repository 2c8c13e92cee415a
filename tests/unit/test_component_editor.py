"""Components moved between images: what comes out is a transfer from one donor of any class."""

import numpy as np
import pytest
import torch

from sundog.core.errors import DataError, InputError
from sundog.data.arrays import from_arrays
from sundog.data.components.component import Component
from sundog.data.image_set import ImageSet
from sundog.debias.component_editor import ComponentEditor
from sundog.debias.inpaint import inpaint
from sundog.debias.masked_pairs import masked_pairs
from sundog.debias.moves import Moves
from sundog.models.augment import augment_images, augmentation_draws, augmentation_moves
from sundog.models.nets import SmallCNN
from sundog.models.prepared import PreparedImages
from sundog.models.zoo import get_model

N, CLASSES, SIZE = 24, 3, 20
WINDOW = Component("window", {"top": 0.5, "left": 0.6, "tall": 0.3, "wide": 0.3})
FRAME = Component("frame", {"thick": 0.2})


def arrays():
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (N, SIZE, SIZE, 3), dtype=np.uint8), np.arange(N) % CLASSES


@pytest.fixture(scope="module")
def prepared():
    pixels, labels = arrays()
    return PreparedImages(from_arrays(pixels, labels, list("abc")), size=SIZE)


@pytest.fixture(scope="module")
def images(prepared):
    return torch.cat([b.images for b in prepared.batches()])


def everything():
    return torch.arange(N)


def donors_of(editor, images, found, components):
    """Return the donors of which one explains each edited image, pixel by pixel."""
    explained = []
    for i in range(N):
        fits = []
        for d in range(N):
            wanted = images[i : i + 1]
            for component in components:
                wanted = component.transfer(wanted, images[d : d + 1])
            if torch.equal(wanted[0], found[i]):
                fits.append(d)
        explained.append(fits)
    return explained


@pytest.mark.parametrize("components", [[WINDOW], [FRAME], [WINDOW, FRAME]])
def test_every_swap_is_a_transfer_of_all_components_from_one_donor(prepared, images, components):
    editor = ComponentEditor(prepared, components)
    found = editor.swapped(images, everything(), seed=3)
    assert all(len(d) == 1 for d in donors_of(editor, images, found, components))


def test_donors_are_of_every_class_alike_whatever_the_label(prepared, images):
    """Chi-square of label x donor's class over 60 draws per image, under its 99.9 % point."""
    editor = ComponentEditor(prepared, [WINDOW])
    counts = np.zeros((CLASSES, CLASSES))
    corner = images[:, :, 10:16, 12:18]
    for seed in range(60):
        shown = editor.swapped(images, everything(), seed=seed)[:, :, 10:16, 12:18]
        same = (shown[:, None] == corner[None]).flatten(2).all(dim=2).int().argmax(dim=1)
        np.add.at(counts, (np.arange(N) % CLASSES, same.numpy() % CLASSES), 1)
    expected = counts.sum() / counts.size
    assert ((counts - expected) ** 2 / expected).sum() < 26.1


def test_what_conflicts_comes_from_the_classes_that_the_cue_speaks_for(prepared, images):
    labels = everything() % CLASSES
    for speaks_for, wanted in (((1,), {1}), ((), {0, 1, 2})):
        editor = ComponentEditor(prepared, [FRAME], speaks_for=speaks_for)
        found = editor.swapped(images, everything(), seed=1, avoid=labels)
        classes = [d[0] % CLASSES for d in donors_of(editor, images, found, [FRAME])]
        for label, donor in zip(labels.tolist(), classes, strict=True):
            assert donor != label
            assert donor in wanted or label == 1  # a 1 finds no other class of the cue


def test_an_edit_is_the_same_alone_in_a_batch_and_in_another_order(prepared, images):
    draws = augmentation_draws(N, seed=3, epoch=0)
    moved = augment_images(images, everything(), draws, augment="flip-shift")
    moves = Moves(
        *augmentation_moves(everything(), draws, augment="flip-shift", image_size=(SIZE, SIZE))
    )
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    editor = ComponentEditor(prepared, [WINDOW, FRAME])
    for edit in (lambda *a, **k: editor.swapped(*a, seed=5, **k), editor.removed):
        together = edit(moved, everything(), moves=moves)
        part = Moves(moves.flipped[order], moves.shifts[order])
        assert torch.equal(edit(moved[order], order, moves=part), together[order])
        one = Moves(moves.flipped[4:5], moves.shifts[4:5])
        assert torch.equal(edit(moved[4:5], everything()[4:5], moves=one), together[4:5])
    unmoved = editor.swapped(images, everything(), seed=5)
    assert torch.equal(editor.swapped(moved, everything(), seed=5, moves=moves),
                       moves.images(unmoved))  # fmt: skip
    assert not torch.equal(editor.swapped(images, everything(), seed=6), unmoved)


def test_a_part_is_filled_in_and_a_larger_one_is_that_of_the_mean_image(prepared, images):
    editor = ComponentEditor(prepared, [WINDOW])
    mask = WINDOW.mask(SIZE, SIZE).expand(N, -1, -1)
    assert torch.equal(editor.removed(images, everything()), inpaint(images, mask))
    wide = Component("frame", {"thick": 0.3})  # 84 % of the image
    editor = ComponentEditor(prepared, [wide, WINDOW])
    pixels, labels = arrays()
    mean = np.stack([pixels[labels == c].mean(axis=0) for c in range(CLASSES)]).mean(axis=0) / 255
    plain = torch.from_numpy(mean).permute(2, 0, 1).float().expand(N, -1, -1, -1)
    wanted = inpaint(wide.transfer(images, plain), mask)
    assert torch.allclose(editor.removed(images, everything()), wanted, atol=1e-6)
    both = ComponentEditor(prepared, [wide])
    assert torch.allclose(both.removed(images, everything()), wide.transfer(images, plain))


def test_a_property_is_averaged_over_donors_of_all_classes(prepared, images):
    colour = Component("colour")
    editor = ComponentEditor(prepared, [colour])
    chosen = [d for c in range(CLASSES) for d in range(c, N, CLASSES)[:4]]  # 12, four per class
    each = [colour.transfer(images, images[d : d + 1].expand_as(images)) for d in chosen]
    found = editor.removed(images, everything())
    assert torch.allclose(found, torch.stack(each).mean(dim=0), atol=1e-6)
    plain = Component("placement")
    mean = torch.stack([images[c::CLASSES].mean(dim=0) for c in range(CLASSES)]).mean(dim=0)
    assert torch.allclose(
        ComponentEditor(prepared, [plain]).removed(images, everything()),
        plain.transfer(images, mean[None].expand_as(images)),
    )


def test_a_stamp_is_taken_away_wherever_it_is():
    """Red squares at random places in two of three images: filled in there, and nowhere else."""
    pixels, labels = arrays()
    rng = np.random.default_rng(3)
    masks = np.zeros((N, SIZE, SIZE), dtype=bool)
    for i in range(N):
        if i % 3:
            top, left = rng.integers(0, SIZE - 3, 2)
            masks[i, top : top + 4, left : left + 4] = True
            pixels[i][masks[i]] = (250, 10, 20)
    offsets = [[row, column] for row in range(4) for column in range(4)]
    stamp = {"factor": 1, "tolerance": 2, "threshold": 0.9, "offsets": offsets,
             "colours": [[250, 10, 20]] * 16}  # fmt: skip
    made = PreparedImages(from_arrays(pixels, labels, list("abc")), size=SIZE)
    shown = torch.cat([b.images for b in made.batches()])
    editor = ComponentEditor(made, [Component("stamp", {"stamps": [stamp]})])
    found = editor.removed(shown, everything())
    assert torch.equal(found, inpaint(shown, torch.from_numpy(masks)))
    assert editor.mask is None
    flipped = Moves(torch.ones(N, dtype=torch.bool), torch.zeros(N, 2, dtype=torch.int64))
    mirrored = editor.removed(shown.flip(3), everything(), moves=flipped)
    assert torch.equal(mirrored, found.flip(3))
    swapped = editor.swapped(shown, everything(), seed=0)
    red = (swapped - torch.tensor([250, 10, 20])[None, :, None, None] / 255).abs().amax(1) < 0.01
    assert set(red.sum(dim=(1, 2)).tolist()) == {0, 16}


def test_donors_may_come_from_another_set(prepared, images):
    other = PreparedImages(
        from_arrays(np.full((3, SIZE, SIZE, 3), 255, np.uint8), np.arange(3), list("abc")),
        size=SIZE,
    )
    editor = ComponentEditor(prepared, [WINDOW], donors=other)
    found = editor.swapped(images, everything(), seed=0)
    assert bool((found[:, :, 10:16, 12:18] == 1).all())
    assert editor.describe() != ComponentEditor(prepared, [WINDOW]).describe()
    assert len(editor) == N


def broken_set():
    pixels, labels = arrays()

    def read(index):
        if index % 2:
            raise DataError("image", expected="readable", got="damage")
        return pixels[index]

    ids = [f"{i:032x}" for i in range(N)]
    return ImageSet(name="some", class_names=list("abc"), labels=labels, ids=ids, sources=ids,
                    read=read)  # fmt: skip


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_a_donor_that_cannot_be_decoded_is_drawn_again(cache_bytes):
    prepared = PreparedImages(broken_set(), size=SIZE, cache_bytes=cache_bytes)
    readable = torch.arange(0, N, 2)
    images = torch.cat([b.images for b in prepared.batches(readable)])
    editor = ComponentEditor(prepared, [WINDOW])
    found = editor.swapped(images, readable, seed=2)
    corner = images[:, :, 10:16, 12:18]
    for image in found:
        assert any(torch.equal(image[:, 10:16, 12:18], one) for one in corner)


def test_it_is_a_cue_editor_for_pairs(prepared):
    classifier = get_model(SmallCNN(CLASSES), class_names=list("abc"))
    pairs = masked_pairs(classifier, prepared, ComponentEditor(prepared, [WINDOW]))
    assert len(pairs) == N
    assert pairs.unchanged == 0


def test_what_cannot_be_edited_is_refused(prepared):
    with pytest.raises(InputError, match="at least one"):
        ComponentEditor(prepared, [])
    with pytest.raises(InputError, match=r"classes in 0\.\.2"):
        ComponentEditor(prepared, [WINDOW], speaks_for=[3])
    other = from_arrays(np.zeros((2, SIZE, SIZE, 3), np.uint8), np.arange(2), list("ab"))
    with pytest.raises(InputError, match="of the same classes"):
        ComponentEditor(prepared, [WINDOW], donors=PreparedImages(other, size=SIZE))
