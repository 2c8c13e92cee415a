"""A model that goes by a patch is mended by moving the component that holds it; a sound one stays.

Ten digits, every training image with the patch of its class. Recovery: how much of the accuracy
that the cue costs on images with another class's patch a repair brings back, compared with a model
trained without the cue for as long.
"""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from sundog.audit.debias_data import make_debias_data
from sundog.audit.debias_from_audit import ToSuppress
from sundog.audit.debias_from_audit_open import suppressed
from sundog.audit.debias_methods import Workbench, fitted_head, training_recipe
from sundog.audit.debias_run import debias_classifier
from sundog.audit.debias_settings import DebiasSettings
from sundog.audit.debias_sources import Sources
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set
from sundog.data.planted_view import planted_view
from sundog.data.planting import make_cue
from sundog.models.prepared import PreparedImages
from sundog.models.train import train_classifier

cue_record = runpy.run_path(str(Path(__file__).parents[1] / "cue_records.py"))["cue_record"]
BUDGET = {"batch_size": 16, "size": 28, "device": "cpu", "progress": False}
WINDOW = {"family": "window", "parameters": {"top": 0.7, "left": 0.7, "tall": 0.3, "wide": 0.3}}


def without_columns(view):
    """Return the planted images as a user has them: nothing says where the cue is."""
    return ImageSet(
        name=view.name, class_names=view.class_names, labels=view.labels, ids=view.ids,
        sources=view.sources, read=view.image,
    )  # fmt: skip


@pytest.fixture(scope="module")
def world():
    clean = load_image_set("digits", split="train", limit=600)
    held = load_image_set("digits", split="validation", limit=300)
    cue = make_cue("patch", class_count=10, strength=1.0, size=0.25)
    view = without_columns(planted_view(clean, cue, size=28))
    seen = without_columns(planted_view(held, cue, size=28))
    return {
        "cue": cue, "clean": clean, "held": held, "view": view, "seen": seen,
        "biased": train_classifier("small-cnn", view, epochs=2, **BUDGET).classifier,
        "sound": train_classifier("small-cnn", clean, epochs=3, **BUDGET).classifier,
        "conflicting": planted_view(
            held, cue, size=28, cue_class=(held.labels + 1 + np.arange(len(held)) % 9) % 10
        ),
    }  # fmt: skip


def accuracy(classifier, images):
    right = 0
    with torch.no_grad():
        for batch in PreparedImages(images, size=28).batches():
            right += int((classifier(batch.images).argmax(1) == batch.labels).sum())
    return right / len(images)


def data_of(images, held, classifier, *, classes):
    """Return what a debiasing run would work on, told of a cue in the window by an audit."""
    even = np.arange(len(held)) % 2 == 0
    sources = Sources(images, held.subset(np.flatnonzero(even)),
                      held.subset(np.flatnonzero(~even)), "made here")  # fmt: skip
    record = cue_record(1, classes=classes, component=WINDOW)
    wanted = ToSuppress(run=None, cues=(record,), cues_folder=None, findings=(), notes=())
    data = make_debias_data(sources, classifier=classifier, size=28)
    return suppressed(data, wanted, classifier=classifier)


def test_moving_the_component_brings_back_the_accuracy(world):
    data = data_of(
        world["view"], world["seen"], world["biased"], classes=world["clean"].class_names
    )
    bench = Workbench(data, world["biased"], 0, progress=False)
    before = accuracy(world["biased"], world["conflicting"])
    sound = accuracy(world["sound"], world["conflicting"])
    trained = train_classifier(
        world["biased"], world["view"], epochs=2,
        recipe=training_recipe("cue_augmentation", bench), **BUDGET,
    ).classifier  # fmt: skip
    head = fitted_head("projection", bench).apply(world["biased"])
    assert before < 0.3
    assert sound > 0.8
    for mended in (trained, head):
        recovered = (accuracy(mended, world["conflicting"]) - before) / (sound - before)
        assert recovered >= 0.6


def test_images_are_judged_with_the_patch_of_another_class(world):
    """Half of the judged images are shown so: the biased model is right on the other half alone."""
    data = data_of(
        world["view"], world["seen"], world["biased"], classes=world["clean"].class_names
    )
    assert data.train.groups is None
    assert data.attribute_names == ("own cue", "another's cue")
    part = data.test
    changed = part.attribute == 1
    assert 0.4 < changed.mean() < 0.6
    with torch.no_grad():
        said = torch.cat([world["biased"](b.images).argmax(1) for b in part.images.batches()])
    right = said.numpy() == part.labels
    assert right[~changed].mean() > 0.9  # its own patch tells the class
    assert right[changed].mean() < 0.3
    sources = part.images.image_set
    assert len(set(sources.ids)) == len(sources)
    assert [s for s, c in zip(sources.ids, changed, strict=True) if not c]


def test_a_model_without_the_bias_is_left_as_it_is(world, tmp_path):
    """The same cue, claimed of a model that was trained without it: nothing is changed."""
    data = data_of(world["clean"], world["held"], world["sound"], classes=("3",))
    run = debias_classifier(
        world["sound"], data, tmp_path / "run",
        settings=DebiasSettings(seeds=[0], epochs=1, batch_size=32), progress=False,
    )  # fmt: skip
    assert run.outcome == "nothing changed"
    assert run.classifier is world["sound"]
