"""The search for unknown cues: what is planted is found where it is, nothing is found elsewhere."""

import numpy as np
import pytest
import torch
from tests.marked_images import GLYPHS, marked
from torch import nn

from sundog.audit.shortcut_hints import find_hints
from sundog.bias.shortcut import find_shortcuts
from sundog.bias.shortcut_candidate import Candidate
from sundog.bias.shortcut_confirm import exceeds
from sundog.bias.shortcut_effect import measure_effect
from sundog.bias.shortcut_pairs import draw_pairs
from sundog.bias.shortcut_repeat import (
    print_carriers,
    printed_pixels,
    repeat_map,
    repeats_cast,
)
from sundog.bias.shortcut_screen import Bench
from sundog.core.echo import echo
from sundog.core.errors import InputError
from sundog.data.components.component import Component
from sundog.models.classifier import Classifier

SIZE, CLASSES, COUNT = 24, 3, 180


class Reads(nn.Module):
    """Sound part: which third of the middle is bright. Cue: how red the corner is (share)."""

    def __init__(self, *, corner=0.0, tint=0.0, frame=0.0):
        super().__init__()
        self.weights = (corner, tint, frame)
        self.marker = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        corner, tint, frame = self.weights
        middle = x[:, :, 8:16].mean((1, 2))  # [batch, width]
        object_ = torch.stack([middle[:, 8 * k : 8 * k + 8].mean(1) for k in range(3)], 1)
        patch = x[:, :, 20:23, 20:23].mean((2, 3))
        whole = x.mean((2, 3))
        edge = torch.stack([x[:, c, 0].mean(1) for c in range(3)], 1)
        return 25 * object_ + 40 * (corner * patch + tint * whole + frame * edge) + 0 * self.marker


def world(*, corner=False, tint=False, frame=False, seed=0):
    """Images whose object is one of three bright thirds; each cue is a channel of the class."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(COUNT) % CLASSES
    images = 0.25 + 0.3 * torch.rand(COUNT, 3, SIZE, SIZE, generator=draw)
    for i, label in enumerate(labels.tolist()):
        images[i, :, 8:16, 8 * label : 8 * label + 8] += 0.25
        if corner:
            images[i, :, 20:23, 20:23] = torch.eye(3)[label][:, None, None]
        if tint:
            images[i] = 0.8 * images[i] + 0.2 * torch.eye(3)[label][:, None, None]
        if frame:
            colour = torch.eye(3)[label][:, None]
            images[i, :, 0] = images[i, :, -1] = colour
            images[i, :, :, 0] = images[i, :, :, -1] = colour
    return images, labels


def classifier(**weights):
    return Classifier(Reads(**weights), class_names=("a", "b", "c"), input_size=(SIZE, SIZE)).eval()


def search(model, images, labels, **given):
    return find_shortcuts(model, images, labels, progress=False, batch_size=128, **given)


@pytest.fixture(scope="module")
def corner():
    images, labels = world(corner=True)
    return search(classifier(corner=1.0), images, labels)


def test_a_planted_patch_is_claimed_once_with_its_place(corner):
    assert len(corner.shortcuts) == 1
    cue = corner.shortcuts[0]
    assert (cue.family, cue.kind, cue.classes) == ("window", "local", (0, 1, 2))
    truth = np.zeros((SIZE, SIZE), bool)
    truth[20:23, 20:23] = True
    found = cue.mask >= 1
    assert (found & truth).sum() / (found | truth).sum() >= 0.7
    assert cue.flip.value > 0.95
    assert cue.control.value < 0.05
    assert cue.excess.low > 0.85
    assert cue.reliance.value > 0.9
    assert cue.random_place.value < 0.2  # it is read in its corner alone
    assert cue.elsewhere.value < 0.2
    assert cue.removal.n > 50
    doses = {d.dose: d.flip.value for d in cue.dose if d.what == "opacity"}
    assert doses[0.25] <= doses[0.5] <= doses[0.75] <= doses[1.0]
    assert all(e.after != e.before for e in cue.examples)


def test_other_views_of_the_patch_are_explained_by_it(corner):
    significant = corner.table[corner.table["p_adjusted"] <= 0.05]
    assert len(significant) > 1
    rest = significant[~significant["claimed"]]
    assert set(rest["explained_by"]) == {corner.shortcuts[0].name}


@pytest.mark.parametrize(
    ("cue", "family"), [("tint", "cast"), ("frame", "frame")], ids=["tint", "frame"]
)
def test_the_family_says_what_kind_of_cue_it_is(cue, family):
    images, labels = world(**{cue: True})
    found = search(classifier(**{cue: 1.0}), images, labels)
    assert [s.family for s in found.shortcuts] == [family]


def test_a_sound_model_on_the_same_images_is_left_alone():
    for cues in ({"corner": True}, {"tint": True}, {"frame": True}, {}):
        images, labels = world(**cues)
        assert search(classifier(), images, labels).shortcuts == ()


def test_nothing_is_found_where_no_image_carries_the_cue():
    images, labels = world()
    found = search(classifier(corner=1.0), images, labels)
    assert found.shortcuts == ()
    assert any("Only what these images carry" in note for note in found.notes)


def test_the_answer_does_not_depend_on_the_batch_size_and_repeats():
    images, labels = world(corner=True)
    model = classifier(corner=1.0)
    first = find_shortcuts(model, images, labels, progress=False, batch_size=7)
    second = find_shortcuts(model, images, labels, progress=False, batch_size=500)
    assert (
        first.table.drop(columns=["p", "p_adjusted"])
        .round(9)
        .equals(second.table.drop(columns=["p", "p_adjusted"]).round(9))
    )
    assert [s.box for s in first.shortcuts] == [s.box for s in second.shortcuts]


def test_pairs_never_give_to_themselves_and_come_from_the_asked_half():
    labels = np.arange(60) % 3
    right = np.ones(60, bool)
    right[:20] = False
    among = np.arange(60) >= 10
    pairs = draw_pairs(labels, right, among=among, give=np.ones(60, bool), most=40, seed=1)
    assert len(pairs) == 40
    t, o, s = (x.numpy() for x in (pairs.targets, pairs.others, pairs.same))
    assert len(set(t)) == 40
    assert (labels[t] != labels[o]).all()
    assert (labels[t] == labels[s]).all()
    assert (t != s).all()
    assert right[o].all()
    assert right[s].all()
    assert among[np.concatenate([t, o, s])].all()
    one = draw_pairs(
        labels, right, among=among, give=np.ones(60, bool), most=40, seed=1, class_index=2
    )
    assert set(labels[one.others.numpy()]) == {2}
    assert 2 not in labels[one.targets.numpy()]


def test_effect_by_hand():
    images, labels = world(corner=True)
    model = classifier(corner=1.0)
    pairs = draw_pairs(
        labels.numpy(),
        np.ones(COUNT, bool),
        among=np.ones(COUNT, bool),
        give=np.ones(COUNT, bool),
        most=10,
        seed=3,
    )
    component = Component(
        "window", {"top": 20 / 24, "left": 20 / 24, "tall": 3 / 24, "wide": 3 / 24}
    )
    effect = measure_effect(
        model,
        images,
        labels,
        lambda i, t, d: component.transfer(i[t], i[d]),
        pairs,
        batch_size=4,
    )
    for row in range(10):
        t, o, s = int(pairs.targets[row]), int(pairs.others[row]), int(pairs.same[row])
        a, b = images[t].clone(), images[t].clone()
        a[:, 20:23, 20:23] = images[o, :, 20:23, 20:23]
        b[:, 20:23, 20:23] = images[s, :, 20:23, 20:23]
        with torch.no_grad():
            pa, pb = (model(x[None]).double().softmax(1)[0] for x in (a, b))
        y, d = int(labels[t]), int(labels[o])
        assert effect.flips[row] == (int(pa.argmax()) == d)
        assert effect.intact[row] == (int(pb.argmax()) == y)
        wanted = float((pa[d] - pb[d] + pb[y] - pa[y]) / 2)
        assert effect.pull[row] == pytest.approx(wanted, abs=1e-6)


def test_false_claim_rate_of_one_test_at_the_margin():
    """Pulls whose mean is exactly the margin exceed it in at most alpha of the samples."""
    random = np.random.default_rng(5)
    margin = 0.06
    hits = [
        exceeds((random.random(240) < margin).astype(float), margin) < 0.01 for _ in range(4000)
    ]
    assert np.mean(hits) <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / 4000)
    assert exceeds(np.full(240, 1.0), margin) < 1e-12
    assert exceeds(np.zeros(240), margin) > 0.99


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda i, y: (i[:, :1], y), "images"),
        (lambda i, y: (i, y[:-1]), "labels"),
        (lambda i, y: (i + 1, y), "in \\[0, 1\\]"),
        (lambda i, y: (i, torch.zeros_like(y)), "two classes"),
        (lambda i, y: (i[:9], y[:9]), "at least 20"),
        (lambda i, y: (i * float("nan"), y), "finite"),
    ],
)
def test_bad_input_is_refused(change, match):
    images, labels = change(*world())
    with pytest.raises(InputError, match=match):
        search(classifier(), images, labels)


def test_unlabelled_images_are_left_out():
    images, labels = world(corner=True)
    more = torch.cat([images, torch.rand(5, 3, SIZE, SIZE)])
    marked = torch.cat([labels, torch.full((5,), -1)])
    assert search(classifier(corner=1.0), more, marked).images == COUNT


def test_donors_of_a_print_are_the_images_that_carry_it():
    images, labels = world(corner=True)
    bare = torch.arange(COUNT) % 10 == 0
    fresh, _ = world(seed=9)
    images[bare] = fresh[bare]
    among = np.arange(COUNT) < 100
    box = (19 / SIZE, 19 / SIZE, 5 / SIZE, 5 / SIZE)
    carries = print_carriers(images, labels.numpy(), box, among=among)
    assert (carries == ~bare.numpy()).all()
    elsewhere = (0.0, 0.0, 5 / SIZE, 5 / SIZE)
    assert print_carriers(images, labels.numpy(), elsewhere, among=among).all()


class ReadsGlyphs(nn.Module):
    """Sound part as above; cue: which of two half-transparent patterns is anywhere in the image."""

    def __init__(self, reads: bool):
        super().__init__()
        pattern = GLYPHS.repeat_interleave(2, 1).repeat_interleave(2, 2)
        self.pattern = nn.Parameter(pattern - pattern.mean((1, 2), keepdim=True))
        self.reads = reads

    def forward(self, x):
        middle = x[:, :, 12:20].mean((1, 2))
        object_ = torch.stack([middle[:, 16 * k : 16 * k + 16].mean(1) for k in range(2)], 1)
        grey = x.mean(1, keepdim=True)
        glyph = nn.functional.conv2d(grey, self.pattern[:, None]).amax((2, 3))
        return 25 * object_ + (3.0 if self.reads else 0.0) * glyph


@pytest.mark.parametrize("reads", [True, False], ids=["biased", "sound"])
def test_a_watermark_at_changing_places_is_claimed_where_it_is_read(reads):
    images, labels, truth = marked(count=160, seed=5)
    for row, label in enumerate(labels.tolist()):
        images[row, :, 12:20, 16 * label : 16 * label + 16] += 0.15
    images = images.clamp(0, 1)
    model = Classifier(ReadsGlyphs(reads), class_names=("a", "b"), input_size=(32, 32)).eval()
    hints = find_hints(images, labels, attribute=None, seed=0, progress=False)
    assert [c.family for c in hints.stamps.values()].count("mark") == 1
    found = search(model, images, labels, stamps=hints.stamps)
    if not reads:
        assert found.shortcuts == ()
        return
    (cue,) = found.shortcuts
    assert (cue.family, cue.name) == ("mark", "mark, at changing places")
    assert cue.flip.low > 0.3
    masks = cue.component.locate(images)
    assert float((masks & truth).sum() / truth.sum()) > 0.6


def test_a_tint_repeats_everywhere_and_prints_nothing():
    images, labels = world(tint=True)
    images = (images * 0.4 + 0.3).clamp(0, 1)  # so little contrast that the tint repeats pixels
    repeats = repeat_map(images, labels.numpy())
    assert (repeats > 0.6).mean() > 0.5
    assert not printed_pixels(repeats).any()
    images, labels = world(corner=True)
    found = printed_pixels(repeat_map(images, labels.numpy()))
    truth = np.zeros((SIZE, SIZE), bool)
    truth[20:23, 20:23] = True
    assert np.array_equal(found, truth)


def test_a_class_repeats_a_cast_only_if_its_images_share_one_that_others_lack():
    images, labels = world(tint=True)
    assert repeats_cast(images, labels.numpy())
    assert not repeats_cast(images, labels.numpy()[np.random.default_rng(0).permutation(COUNT)])
    assert not repeats_cast(images.mean(1, keepdim=True).expand(-1, 3, -1, -1), labels.numpy())
    images[labels != 0] = 0.5
    noisy = images + 0.3 * torch.rand(COUNT, 3, 1, 1, generator=torch.Generator().manual_seed(1))
    assert not repeats_cast(noisy, labels.numpy())  # a scatter of casts is no cast
    assert not repeats_cast(images[:8], np.repeat([0, 1], 4))  # too few to say so


@pytest.mark.parametrize(("classes", "factor"), [(2, 1.8), (3, 1.35), (10, 1.0), (1000, 1.0)])
def test_with_few_classes_a_cue_must_pull_more(classes, factor):
    """Content that speaks against the label moves its probability to the others alike."""
    plain = torch.full((4, classes), 0.0, dtype=torch.float64)
    plain[:, 0] = 1.0
    images, labels = torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64)
    bench = Bench(classifier(), images, labels, plain, 8, 0, [0])
    assert echo(classes) == pytest.approx(factor)
    candidate = Candidate("tint", 0.1, Component("colour"), family="colour")
    assert bench.margin(candidate) == pytest.approx(0.1 * factor)
    lost = 0.3  # a loss shared by the other classes, as pull
    shared = (lost + lost / (classes - 1)) / 2
    tenth = (lost + lost / 9) / 2
    assert max(shared / tenth, 1.0) == pytest.approx(factor)


class Agrees(nn.Module):
    """The object, and whether the corner and the tint are of one colour: even classes, or not."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight
        self.marker = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        middle = x[:, :, 8:16].mean((1, 2))
        object_ = torch.stack([middle[:, :12].mean(1), middle[:, 12:].mean(1)], 1)
        corner = x[:, 0, 17:20, 17:20].mean((1, 2)) - x[:, 2, 17:20, 17:20].mean((1, 2))
        tint = x[:, 0, 17:20, 4:14].mean((1, 2)) - x[:, 2, 17:20, 4:14].mean((1, 2))
        same = self.weight * torch.sign(corner) * torch.tanh(20 * tint)
        return 20 * object_ + torch.stack([same, -same], 1) + 0 * self.marker


def agreeing(seed=0):
    """Two classes; corner and tint are red or blue, alike in the one class, unlike in the other."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(COUNT) % 2
    images = 0.25 + 0.3 * torch.rand(COUNT, 3, SIZE, SIZE, generator=draw)
    red, blue = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    for i, label in enumerate(labels.tolist()):
        images[i, :, 8:16, 12 * label : 12 * label + 12] += 0.15
        first = int(torch.randint(2, (1,), generator=draw))
        patch, tint = ((red, blue)[k] for k in (first, (first + label) % 2))
        images[i] = 0.75 * images[i] + 0.25 * tint[:, None, None]
        images[i, :, 17:20, 17:20] = patch[:, None, None]
    return images.clamp(0, 1), labels


@pytest.mark.parametrize("weight", [4.0, 0.0], ids=["relies", "sound"])
def test_two_attributes_that_tell_only_together_are_claimed_together(weight):
    images, labels = agreeing()
    model = Classifier(Agrees(weight), class_names=("a", "b"), input_size=(SIZE, SIZE)).eval()
    hints = find_hints(images, labels, attribute=None, seed=0, progress=False)
    found = search(model, images, labels, stamps=hints.stamps)
    if not weight:
        assert found.shortcuts == ()
        return
    assert [s.family for s in found.shortcuts] == ["pair"]
    assert "colour" in found.shortcuts[0].name
    assert found.shortcuts[0].flip.value > 0.8
    alone = found.table[~found.table["claimed"] & (found.table["family"] != "pair")]
    assert (alone["pull"] < 0.2).all()  # neither tells anything by itself
