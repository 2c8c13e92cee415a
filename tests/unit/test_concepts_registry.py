"""Taggers and sorters by name: the table is complete, lazy, and errors are clear."""

import inspect
import subprocess
import sys

import pytest

from sundog.concepts import registry
from sundog.concepts.csv_tags import CsvTagger
from sundog.concepts.photometric import PhotometricTagger
from sundog.concepts.registry import SORTERS, TAGGERS, get_sorter, get_tagger
from sundog.concepts.tagger import Tagger
from sundog.core.errors import CheckpointError, InputError, UnknownNameError


def test_the_tables_hold_what_the_documentation_promises():
    assert set(TAGGERS) == {
        *("photometric", "patches", "imagenet", "metadata", "csv", "clusters", "ram", "ram++"),
    }
    assert set(SORTERS) == {"conse", "clip", "features"}
    for table in (TAGGERS, SORTERS):
        for name, row in table.items():
            assert row.name == name
            assert callable(row.build)
            assert row.summary
            assert row.source


def test_names_give_taggers():
    assert isinstance(get_tagger("photometric", tail=0.3), PhotometricTagger)
    for name in ("patches", "metadata"):
        tagger = get_tagger(name)
        assert isinstance(tagger, Tagger)
        assert tagger.name == name
        assert not tagger.fitted


def test_positional_arguments_reach_the_tagger(tmp_path):
    (tmp_path / "tags.csv").write_text("path,night\na.jpg,1\n")
    assert isinstance(get_tagger("csv", tmp_path / "tags.csv"), CsvTagger)


def test_the_seeds_form_of_clip_binds():
    bound = inspect.signature(SORTERS["clip"].build).bind("openai/clip-vit-base-patch32")
    assert list(bound.arguments) == ["name_or_path"]


@pytest.mark.parametrize(
    "args",
    [
        ("ram", "swin_l", "/nowhere/ram_swin_large_14m.pth"),
        ("ram", "ram", "swin_l", "/nowhere/ram_swin_large_14m"),
        ("ram++", "/nowhere/ram_plus.pth"),
    ],
)
def test_the_forms_of_ram_reach_the_checkpoint(args):
    with pytest.raises((CheckpointError, InputError), match="/nowhere"):
        get_tagger(*args)


def test_bad_names_and_arguments_are_clear_errors():
    with pytest.raises(UnknownNameError, match="'photometric'"):
        get_tagger("photometrik")
    with pytest.raises(UnknownNameError, match="'conse'"):
        get_sorter("cones")
    with pytest.raises(InputError, match=r"'csv'.*path"):
        get_tagger("csv")
    with pytest.raises(InputError, match=r"'photometric'.*colour"):
        get_tagger("photometric", colour="red")
    with pytest.raises(InputError, match=r"'features'.*classifier"):
        get_sorter("features")


def test_a_type_error_inside_a_tagger_is_not_taken_for_a_bad_call(monkeypatch):
    def broken():
        raise TypeError("inside")

    monkeypatch.setattr(registry.Concepts, "build", property(lambda self: broken))
    with pytest.raises(TypeError, match="inside"):
        get_tagger("photometric")


def test_the_tables_load_no_tagger():
    code = (
        "import sys, sundog.concepts.registry\n"
        "loaded = [m for m in sys.modules if m.startswith('sundog.concepts.')]\n"
        "bad = [m for m in loaded if any(w in m for w in ('ram', 'clip', 'conse', 'photom'))]\n"
        "assert not bad, bad\n"
        "assert 'sklearn' not in sys.modules and 'transformers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
