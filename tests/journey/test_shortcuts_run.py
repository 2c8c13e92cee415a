"""``sundog shortcuts`` end to end: records, pictures, masks, page, resumption, hostile names."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import sundog
from sundog.audit.shortcut_hints import find_hints, find_stamps
from sundog.audit.shortcut_run import find_cues, sample_images
from sundog.cli.main import app
from sundog.core.audit.cues import Cues
from sundog.core.errors import DataError
from sundog.data.components.component import make_component
from sundog.data.components.stamp import stamp_masks

SIDE, COUNT = 20, 120
NAMES = ("<b>one", "two & more", 'three"')


class Corner(torch.nn.Module):
    """Reads the colour of the lower right corner, and weakly the upper half's brightness."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(30.0))

    def forward(self, x):
        return self.scale * x[:, :, 16:19, 16:19].mean((2, 3))


def planted():
    draw = np.random.default_rng(0)
    labels = np.arange(COUNT) % 3
    images = draw.integers(40, 180, (COUNT, SIDE, SIDE, 3)).astype(np.uint8)
    images[np.arange(COUNT), 16:19, 16:19] = 0
    for i, label in enumerate(labels):
        images[i, 16:19, 16:19, label] = 255
    return images, labels


@pytest.fixture(scope="module")
def subject():
    images, labels = planted()
    made = sundog.from_arrays(images, labels.tolist(), NAMES, layout="NHWC", name="planted")
    model = sundog.Classifier(Corner(), class_names=NAMES, input_size=(SIDE, SIDE)).eval()
    return sundog.make_subject(made, model, size=SIDE, batch_size=60)


@pytest.fixture(scope="module")
def run(subject, tmp_path_factory):
    return find_cues(subject, tmp_path_factory.mktemp("run") / "cues", progress=False)


def test_the_cue_is_written_with_its_pictures_and_mask(run):
    cue = run.cues.claimed[0]
    assert len(run.cues.claimed) == 1
    assert set(cue.classes) == set(NAMES)
    assert cue.kind == "local"
    assert cue.flip.value > 0.9
    assert len(cue.pictures) == len(cue.captions) == 4 * 3
    for file in cue.pictures:
        with Image.open(run.path / file) as opened:
            assert opened.size[0] % SIDE == 0
    with Image.open(run.path / cue.mask) as opened:
        mask = np.asarray(opened.resize((SIDE, SIDE), Image.Resampling.NEAREST))
    truth = np.zeros((SIDE, SIDE), bool)
    truth[16:19, 16:19] = True
    assert np.array_equal(mask == 255, truth)


def test_the_component_of_the_record_moves_the_cue_again(run, subject):
    component = make_component(run.cues.claimed[0].component)
    images, labels = planted()
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    moved = component.transfer(pixels[:60], pixels[60:])
    assert torch.equal(subject.classifier(moved).argmax(1), torch.from_numpy(labels[60:]))


def test_every_test_is_in_the_table_and_the_record(run):
    table = pd.read_parquet(run.path / "tables" / "tests.parquet")
    assert len(table) == run.cues.tests == len(run.cues.tested) == len(run.search.table)
    assert (table["p_adjusted"] >= table["p"]).all()
    assert table["claimed"].sum() == 1


def test_a_finished_folder_is_read_and_gives_the_same_page(run, subject):
    page = run.page.read_bytes()
    again = find_cues(subject, run.path, progress=False)
    assert again.search is None
    assert again.cues == run.cues == Cues.read(run.path / "cues.json")
    assert again.page.read_bytes() == page


def test_names_are_escaped(run):
    text = run.page.read_text(encoding="utf-8")
    assert "<b>one" not in text
    assert "&lt;b&gt;one" in text
    assert "two &amp; more" in text


def test_the_notebook_shows_it(run):
    shown = run._repr_html_()
    assert "patch" in shown
    assert "<b>one" not in shown


def test_stamps_are_proposed_where_they_are():
    images, labels = planted()
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    stamps = find_stamps(pixels, torch.from_numpy(labels), progress=False)
    assert len(stamps) == 1
    masks = stamp_masks(pixels, **next(iter(stamps.values())).parameters)
    assert masks.flatten(1).any(1).all()
    assert masks.float().mean(0)[16:19, 16:19].mean() > 0.5
    assert masks.float().mean(0).sum() <= 9.01
    hints = find_hints(pixels, torch.from_numpy(labels), attribute=None, seed=0, progress=False)
    assert list(hints.stamps) == list(stamps)


def test_copies_and_unlabelled_images_are_left_out_of_the_sample(subject):
    images, labels = planted()
    both = np.concatenate([images, images[:30]])
    marked = np.concatenate([labels, np.full(30, -1)])
    made = sundog.from_arrays(both, marked.tolist(), NAMES, layout="NHWC", name="copies")
    twice = sundog.make_subject(made, subject.classifier, size=SIDE)
    chosen = sample_images(twice, limit=600, seed=0)
    assert chosen.max() < COUNT
    assert len(sample_images(twice, limit=30, seed=0)) == 30
    few = sundog.make_subject(made.subset(range(10)), subject.classifier, size=SIDE)
    with pytest.raises(DataError, match="at least 20"):
        sample_images(few, limit=600, seed=0)


def test_the_command_says_what_it_found(tmp_path, subject):
    images, labels = planted()
    for i, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "images" / f"c{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    (tmp_path / "images" / "c0" / "<script>.png").write_bytes(b"")
    torn = tmp_path / "images" / "c1" / "torn é.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(torn)
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 3])
    exported = torch.export.export(
        Corner().eval(),
        (torch.zeros(2, 3, SIDE, SIDE),),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    torch.export.save(exported, str(tmp_path / "corner.pt2"))
    done = CliRunner().invoke(
        app,
        [
            *("shortcuts", str(tmp_path / "images"), "--model", str(tmp_path / "corner.pt2")),
            *("--class-names", "c0,c1,c2", "--size", str(SIDE), "--out", str(tmp_path / "out")),
            "--no-hints",
        ],
        env={"COLUMNS": "200"},
    )
    assert done.exit_code == 0, done.output
    assert "The classifier follows a cue (patch, lower right)" in done.output
    assert (tmp_path / "out" / "index.html").is_file()
    assert "left out: c0/<script>.png: the file is empty" in done.output
    assert "left out: c1/torn é.png" in done.output
    assert "Note: 1 of the drawn images could not be decoded and were left out" in done.output
