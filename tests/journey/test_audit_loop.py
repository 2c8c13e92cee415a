"""From verdicts to a repair: what people confirmed is what is mended, tagged as they saw it."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sundog.audit.audit_verdicts import read_verdicts
from sundog.audit.debias_data import make_debias_data
from sundog.audit.debias_from_audit import ToSuppress, what_to_suppress
from sundog.audit.debias_from_audit_open import _taggers, suppressed
from sundog.audit.debias_from_audit_tags import PatchMasks, audited_ids, tag_findings
from sundog.audit.debias_gates import known_needs
from sundog.audit.debias_methods import Workbench, training_recipe
from sundog.audit.debias_sources import Sources, open_sources
from sundog.audit.inspect_run import inspect_images
from sundog.audit.search_settings import SearchSettings
from sundog.audit.subject import make_subject
from sundog.cli.main import app
from sundog.core.errors import InputError
from sundog.core.inspection.events import Event
from sundog.data.arrays import from_arrays
from sundog.data.load import load_image_set
from sundog.debias.mask_editor import MaskEditor
from sundog.models.store import save_classifier
from sundog.models.train import train_classifier
from sundog.models.zoo import get_model
from sundog.review.session import Session

CUES = runpy.run_path(str(Path(__file__).parents[1] / "cue_records.py"))
cue_record, write_cues = CUES["cue_record"], CUES["write_cues"]
FIRST, SECOND, THIRD = (f"{n:016x}" for n in (1, 2, 3))
FRAME = {"family": "frame", "parameters": {"thick": 0.1}}
COLOUR = {"family": "colour", "parameters": {}}
DIGITS = tuple("0123456789")


@pytest.fixture(scope="module")
def classifier():
    few = load_image_set("digits", split="train", limit=60)
    return train_classifier("small-cnn", few, epochs=1, size=28, device="cpu").classifier


@pytest.fixture(scope="module")
def place(tmp_path_factory, classifier):
    """Three claimed cues, of which one is called spurious and one core; and a stored model."""
    folder = tmp_path_factory.mktemp("loop")
    run = folder / "audit" / "cues"
    write_cues(
        run,
        cue_record(1, classes=DIGITS),
        cue_record(2, classes=DIGITS, component=FRAME, box=None),
        cue_record(3, classes=DIGITS, component=COLOUR, kind="whole", box=None),
    )
    session = Session.open(run)
    for identity, verdict in ((FIRST, "separate object"), (SECOND, "core")):
        event = Event(
            query=session.query_hash, reviewer="ann", action="verdict", finding=identity,
            verdict=verdict,
        )  # fmt: skip
        assert not session.add([event.model_dump(mode="json")]).refused
    save_classifier(classifier, folder / "model")
    return folder


def test_only_the_confirmed_cue_is_mended(place, classifier):
    plain = make_debias_data(open_sources("digits", limit=60), classifier=classifier, size=28)
    data = suppressed(plain, what_to_suppress(place / "audit"))
    told = data.train.editor.describe()
    assert [component["family"] for component in told["components"]] == ["window"]
    assert told["speaks_for"] == list(range(10))
    assert known_needs(data) >= {"masks", "pairs", "validation_groups"}
    assert data.attribute_names == ("own cue", "another's cue")
    both = suppressed(plain, what_to_suppress(place / "audit", unreviewed=True))
    families = [c["family"] for c in both.train.editor.describe()["components"]]
    assert families == ["window", "colour"]  # never the frame, which was called core
    assert "masks" not in known_needs(both)
    bench = Workbench(both, classifier, 0, {"cue_augmentation": {"swap": "recolour"}})
    with pytest.raises(InputError, match="known by masks"):
        training_recipe("cue_augmentation", bench)


def test_the_command_mends_by_the_audit_and_leaves_a_sound_model(place, tmp_path):
    given = ["debias", "digits", "--model", str(place / "model"), "--limit", "60", "--seeds", "1",
             "--size", "28"]  # fmt: skip
    done = CliRunner().invoke(
        app, [*given, "--from-audit", str(place / "audit"), "--out", str(tmp_path / "run")]
    )
    assert done.exit_code == 0, (done.output, done.exception)
    assert "Suppressed: the cue 'patch 1, lower right', called spurious by 1 of 1" in done.output
    assert "Claims of the audit that are not used" in done.output
    said = json.loads((tmp_path / "run" / "debias.json").read_text(encoding="utf-8"))
    assert said["outcome"] == "nothing changed"
    refused = CliRunner().invoke(app, [*given, "--unreviewed", "--out", str(tmp_path / "none")])
    assert refused.exit_code != 0


# --- concepts ---------------------------------------------------------------------------------


class Channels(torch.nn.Module):
    """Says what is nearly chance: the brightest channel."""

    def forward(self, images):
        return 40 * images.mean(dim=(2, 3))


@pytest.fixture(scope="module")
def inspection(tmp_path_factory):
    """Noise of three classes; a red square somewhere in half of the first, dark images anywhere."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    pixels = rng.integers(60, 250, (90, 24, 24, 3)).astype(np.float64)
    pixels *= rng.uniform(0.4, 1, (90, 1, 1, 1))
    pixels = pixels.astype(np.uint8)
    masks = np.zeros((90, 24, 24), dtype=bool)
    for i in np.flatnonzero((labels == 0) & (np.arange(90) % 2 == 0)):
        top, left = rng.integers(0, 17, 2)
        masks[i, top : top + 7, left : left + 7] = True
        pixels[i][masks[i]] = (220, 20, 30)
    images = from_arrays(pixels, labels, list("abc"))
    run = tmp_path_factory.mktemp("inspection") / "run"
    network = get_model(Channels(), class_names=list("abc"))
    done = inspect_images(
        make_subject(images, network, size=24),
        run,
        taggers="patches,photometric",
        settings=SearchSettings(
            max_tags=1, permutations=99, replicate=False, across=False, top_k=1
        ),
        candidates=50,
        sample=1,
        overlay="none",
        progress=False,
    )
    return {"run": run, "images": images, "masks": masks, "findings": done.query.findings}


def of_tagger(inspection, tagger):
    patch = tagger == "patches"
    return next(f for f in inspection["findings"] if ("patch" in f.concepts[0]) == patch)


@pytest.mark.parametrize("tagger", ["patches", "photometric"])
def test_concepts_are_tagged_as_they_were_judged(inspection, tagger):
    """The tags of the audited images are those of the audit, image by image."""
    finding, images = of_tagger(inspection, tagger), inspection["images"]
    found = read_verdicts(inspection["run"])
    rng = np.random.default_rng(1)
    others = from_arrays(
        rng.integers(0, 90, (30, 24, 24, 3), dtype=np.uint8), np.arange(30) % 3, list("abc")
    )
    tags = tag_findings(
        [finding], [others, images], taggers=tagger, subject=None,
        audited=audited_ids(found.judged_in), progress=False,
    )  # fmt: skip
    assert "fitted to the audited images" in tags.notes[0]
    table = pd.read_parquet(found.judged_in / "tables" / "slices.parquet")
    table = table[table["finding"] == finding.id].set_index("image")["present"]
    row = {image: number for number, image in enumerate(images.ids)}
    now = [bool(tags.present[1][row[image], 0]) for image in table.index]
    assert now == table.tolist()
    assert any(now)
    assert len(tags.present[0]) == 30
    assert bool(tags.patches) == (tagger == "patches")
    if tagger == "patches":
        where = PatchMasks(images, tags.patches, size=(24, 24))(np.arange(90)).numpy()
        assert np.array_equal(where.any(axis=(1, 2)), inspection["masks"].any(axis=(1, 2)))
        truth = inspection["masks"]
        shared = (where & truth).sum() / (where | truth).sum()
        assert shared > 0.9


def test_confirmed_concepts_become_groups(inspection):
    finding, images = of_tagger(inspection, "patches"), inspection["images"]
    wanted = ToSuppress(
        run=inspection["run"], cues=(), cues_folder=None, findings=(finding,), notes=()
    )
    third = np.arange(90) // 3 % 3
    parts = [images.subset(np.flatnonzero(third == k)) for k in range(3)]
    plain = make_debias_data(Sources(*parts, "made here"), size=24)
    data = suppressed(plain, wanted, taggers="patches")
    assert data.attribute_names == ("without", finding.concepts[0])
    assert known_needs(data) >= {"train_groups", "validation_groups", "masks", "pairs"}
    assert isinstance(data.train.editor, MaskEditor)
    assert data.train.groups.names[:2] == ("a x without", f"a x {finding.concepts[0]}")
    carrying = inspection["masks"].any(axis=(1, 2))[third == 0]
    assert np.array_equal(data.train.attribute, carrying.astype(int))
    assert data.train.images.image_set.ids == parts[0].ids  # nothing is pasted into images
    assert data.alignment is not None
    strange = replace(wanted, findings=(finding.model_copy(update={"concepts": ("no such",)}),))
    with pytest.raises(InputError, match="Concept 'no such'"):
        suppressed(plain, strange, taggers="photometric")
    cue = cue_record(1, classes=("a",))
    noted = suppressed(plain, replace(strange, cues=(cue,)), taggers="photometric")
    assert _taggers(read_verdicts(inspection["run"])) == "patches,photometric"
    assert any("Confirmed concepts were left out: Concept 'no such'" in n for n in noted.notes)
    assert noted.test.groups is not None


def test_cues_and_concepts_together_make_groups_of_both(inspection):
    finding, images = of_tagger(inspection, "photometric"), inspection["images"]
    wanted = ToSuppress(
        run=inspection["run"], cues=(cue_record(1, classes=("a", "b")),), cues_folder=None,
        findings=(finding,), notes=(),
    )  # fmt: skip
    third = np.arange(90) // 3 % 3
    parts = [images.subset(np.flatnonzero(third == k)) for k in range(3)]
    plain = make_debias_data(Sources(*parts, "made here"), size=24)
    data = suppressed(plain, wanted, taggers="photometric")
    name = finding.concepts[0]
    assert data.attribute_names == (
        "without, own cue", "without, another's cue", f"{name}, own cue", f"{name}, another's cue",
    )  # fmt: skip
    assert set(np.unique(data.train.attribute)) == {0, 2}
    assert set(np.unique(data.test.attribute)) == {0, 1, 2, 3}
    changed = data.test.attribute % 2 == 1
    before = parts[2]
    same = [a == b for a, b in zip(data.test.images.image_set.ids, before.ids, strict=True)]
    assert same == (~changed).tolist()


def test_a_cue_that_lies_elsewhere_needs_masks_of_the_training_images(inspection, tmp_path):
    images = inspection["images"]
    third = np.arange(90) // 3 % 3
    parts = [images.subset(np.flatnonzero(third == k)) for k in range(3)]
    plain = make_debias_data(Sources(*parts, "made here"), size=24)
    record = cue_record(1, classes=("a",)).model_copy(
        update={"component": {"family": "masked", "parameters": {}}, "masks_table": "m.parquet"}
    )
    wanted = ToSuppress(run=tmp_path, cues=(record,), cues_folder=tmp_path, findings=(), notes=())
    with pytest.raises(InputError, match="Audit the training images"):
        suppressed(plain, wanted)
    rows = []
    for image, mask, label in zip(images.ids, inspection["masks"], images.labels, strict=True):
        if label == 0:
            Image.fromarray(mask).convert("L").save(tmp_path / f"{image}.png")
            rows.append({"id": image, "mask_path": f"{image}.png"})
    pd.DataFrame(rows).to_parquet(tmp_path / "m.parquet")
    data = suppressed(plain, wanted)
    assert isinstance(data.train.editor, MaskEditor)
    carrying = inspection["masks"].any(axis=(1, 2))[third == 0]
    assert data.train.editor.masked == int(carrying.sum())
