"""Hostile files and clumsy folders: each is refused in one sentence, and nothing is lost."""

import io
import os
import runpy
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from sundog.audit.align import align_labels, match_classes
from sundog.audit.evidence import write_previews
from sundog.audit.query_files import keep_verdicts
from sundog.audit.results_run import write_results
from sundog.cli import main
from sundog.cli.say import cell, harmless
from sundog.concepts.registry import get_tagger
from sundog.core.errors import DataError, InputError, RunFolderError
from sundog.core.files import write_json
from sundog.core.inspection import archive as archives
from sundog.core.inspection.archive import pack, read_packed_query, unpack
from sundog.core.inspection.events import Event, append_event, read_events
from sundog.core.inspection.feedback import Feedback
from sundog.core.inspection.query import Query
from sundog.core.inspection.results import compile_results
from sundog.core.run_folder import RunFolder
from sundog.data.folder import open_folder
from sundog.review.open_run import open_run

make_run = runpy.run_path(str(Path(__file__).parents[1] / "review_run.py"))["make_run"]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "run"
    make_run(folder, findings=3, per_strip=2)
    return folder


@pytest.fixture
def query_bytes(template):
    return (template / "query.json").read_bytes()


def _zip(path, entries, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for entry, data in entries:
            archive.writestr(entry, data)
    return path


def _link(name):
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, 0xA1FF << 16
    return entry


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("../evil.json", "an unsafe path, '../evil.json'"),
        ("/evil.json", "an unsafe path"),
        ("..\\evil.json", "an unsafe path"),
        ("C:evil.json", "an unsafe path"),
        ("images/.hidden.json", "an unsafe path"),
        ("inner.sundog", "an unknown kind of file, 'inner.sundog'"),
        ("run.py", "an unknown kind of file"),
        (_link("link.json"), "a link, 'link.json'"),
    ],
)
def test_an_unsafe_archive_is_refused_by_name_and_leaves_nothing(
    tmp_path, query_bytes, entry, reason
):
    room = tmp_path / "a" / "b"
    room.mkdir(parents=True)
    path = _zip(room / "x.sundog", [("query.json", query_bytes), (entry, b"{}")])
    for open_it in (lambda: unpack(path, room / "new"), lambda: open_run(path)):
        with pytest.raises(RunFolderError) as caught:
            open_it()
        assert reason in str(caught.value)
        assert "nothing was written" in str(caught.value)
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "b", "x.sundog"]


def test_bombs_are_refused_before_anything_is_unpacked(tmp_path, query_bytes, monkeypatch):
    monkeypatch.setattr(archives, "FREE_GROWTH_BYTES", 1_000_000)
    zeros = [(f"images/{i}.jpg", bytes(4_000_000)) for i in range(3)]
    bomb = _zip(tmp_path / "bomb.sundog", [("query.json", query_bytes), *zeros])
    with pytest.raises(RunFolderError, match="unpacked at most 100 times its size"):
        unpack(bomb, tmp_path / "bomb")
    monkeypatch.setattr(archives, "MAX_FILES", 20)
    many = [(f"images/{i}.jpg", b"") for i in range(20)]
    path = _zip(tmp_path / "many.sundog", [("query.json", query_bytes), *many])
    with pytest.raises(RunFolderError, match="at most 20 files; got 21"):
        unpack(path, tmp_path / "many")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bomb.sundog", "many.sundog"]


def test_an_honest_archive_is_far_from_the_limits_and_comes_back_whole(tmp_path, template):
    path = pack(template, tmp_path / "honest")
    with zipfile.ZipFile(path) as archive:
        total = sum(entry.file_size for entry in archive.infolist())
    assert total < archives.MAX_GROWTH / 3 * path.stat().st_size
    folder, query = open_run(path)
    assert query == Query.read(template / "query.json") == read_packed_query(path)
    for file in template.rglob("*.jpg"):
        assert (folder / file.relative_to(template)).read_bytes() == file.read_bytes()


def _damaged(path, query_bytes, kind):
    """Write an archive that zipfile opens and cannot read."""
    _zip(path, [("query.json", query_bytes), ("images/a.jpg", bytes(100_000))])
    raw = bytearray(path.read_bytes())
    central = raw.rfind(b"PK\1\2")
    first = raw.find(b"PK\1\2")
    if kind == "deflate":
        raw[60:400] = bytes(byte ^ 0x5A for byte in raw[60:400])
    elif kind == "lying size":
        raw[central + 24 : central + 28] = struct.pack("<I", 100)
    elif kind == "encrypted":
        raw[6] |= 1
        raw[first + 8] |= 1
    elif kind == "method":
        raw[8] = raw[first + 10] = 97
    elif kind == "torn":
        raw = raw[: len(raw) // 2]
    elif kind == "file and folder":
        _zip(path, [("query.json", query_bytes), ("a.json", b""), ("a.json/b.json", b"")])
        return path
    path.write_bytes(bytes(raw))
    return path


@pytest.mark.parametrize(
    "kind", ["deflate", "lying size", "encrypted", "method", "torn", "file and folder"]
)
def test_a_damaged_archive_is_one_sentence(tmp_path, query_bytes, kind):
    path = _damaged(tmp_path / "x.sundog", query_bytes, kind)
    with pytest.raises(RunFolderError, match="must be a readable archive"):
        write_results(path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.sundog"]


@pytest.mark.parametrize("content", [b"{}", b"", b"[" * 200_000, b"\xff", b'{"format": 1e999}'])
def test_an_archive_without_a_readable_query_leaves_no_folder(tmp_path, content):
    path = _zip(tmp_path / "x.sundog", [("query.json", content)])
    for open_it in (open_run, write_results, read_packed_query):
        with pytest.raises(RunFolderError, match=r"query\.json in"):
            open_it(path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.sundog"]


def test_an_archive_of_another_run_does_not_open_the_folder_beside_it(tmp_path, template):
    other = tmp_path / "other"
    make_run(other, findings=2, per_strip=2)
    path = pack(template, tmp_path / "x")
    write_results(path)
    pack(other, path)
    with pytest.raises(RunFolderError, match="another inspection"):
        write_results(path)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"answers": ' * 50_000])
def test_a_nest_too_deep_is_no_crash(tmp_path, content):
    path = tmp_path / "feedback.json"
    path.write_text(content)
    with pytest.raises(RunFolderError, match="must be readable JSON"):
        Feedback.read(path)


def test_results_without_pictures_stand_and_say_so(tmp_path, template):
    run = tmp_path / "run"
    (run / "images").mkdir(parents=True)
    query = Query.read(template / "query.json")
    query.write(run / "query.json")
    done = write_results(run, sig_thresh=1.0)
    assert done.results.findings
    texts = [note for section in done.content.sections for note in section.notes]
    assert sum("could not be read" in note for note in texts) == len(done.results.findings)
    assert done.page.exists()


def test_a_picture_that_is_no_thumbnail_is_left_out_quickly(tmp_path, template):
    run = tmp_path / "run"
    (run / "images").mkdir(parents=True)
    query = Query.read(template / "query.json")
    query.write(run / "query.json")
    stream = io.BytesIO()
    Image.new("1", (5000, 5000)).save(stream, "PNG")
    contents = (b"\x89PNG\r\n\x1a\n" + bytes(20), b"", stream.getvalue())
    for place, card in enumerate(query.images.values()):
        (run / card.thumbnail).write_bytes(contents[place % 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = write_results(run, sig_thresh=1.0)
    assert not any(section.pictures for section in done.content.sections)


def test_a_new_search_does_not_take_the_query_away_from_its_verdicts(tmp_path, template):
    query = Query.read(template / "query.json")
    (tmp_path / "run").mkdir()
    keep_verdicts(tmp_path / "run", query)
    append_event(
        tmp_path / "run",
        Event(
            query=query.content_hash(),
            reviewer="Ada",
            action="verdict",
            finding=query.findings[0].id,
            verdict="core",
        ),
    )
    keep_verdicts(tmp_path / "run", query)
    other = query.model_copy(update={"alpha": 0.2})
    with pytest.raises(RunFolderError, match="1 of 1 acts of reviewers on an earlier search"):
        keep_verdicts(tmp_path / "run", other)
    assert len(read_events(tmp_path / "run").events) == 1


def test_previews_of_another_query_are_not_overwritten(tmp_path):
    one, two = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 9, np.uint8)
    first = write_previews({"b": one}, tmp_path)
    before = (tmp_path / first["b"]).read_bytes()
    second = write_previews({"a": two, "b": one}, tmp_path)
    assert second["b"] == first["b"] != second["a"]
    assert (tmp_path / first["b"]).read_bytes() == before


def test_half_written_pictures_of_a_killed_run_are_swept_away(tmp_path):
    with RunFolder.open(tmp_path / "run", kind="inspect"):
        pass
    images = tmp_path / "run" / "images"
    images.mkdir()
    for name in (
        ".ab-x1.jpg",
        ".ab-x2.png",
        ".index-x3.html",
        ".a-x4.safetensors",
        ".keep",
        "a.jpg",
    ):
        (images / name).write_bytes(b"x")
    with RunFolder.open(tmp_path / "run", kind="inspect"):
        pass
    assert sorted(p.name for p in images.iterdir()) == [".keep", "a.jpg"]


def test_classes_that_differ_by_case_stay_two():
    names = ["Cat", "cat", "golf_ball"]
    assert match_classes(names, names) == {0: 0, 1: 1, 2: 2}
    labels = np.array([0, 1, 1, 2, -1])
    aligned = align_labels(labels, set_names=names, classifier_names=names, class_count=3)
    assert aligned.tolist() == labels.tolist()
    assert match_classes(["golf ball"], ["Golf_Ball", "cat"]) == {0: 0}
    assert match_classes(["CAT"], names) == {}
    assert match_classes(names, ["cat", "golf ball"]) == {1: 0, 2: 1}
    with pytest.raises(DataError, match="1 of 2 without counterpart"):
        align_labels(
            labels[:3], set_names=names, classifier_names=["cat", "golf ball"], class_count=2
        )


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: get_tagger("photometric", foo=1), "among: thresholds='set', tail=0.2; got an un"),
        (lambda: get_tagger("csv"), "among: path, key=None"),
    ],
)
def test_wrong_arguments_of_a_tagger_are_named_for_people(call, expected):
    with pytest.raises(InputError) as caught:
        call()
    assert expected in str(caught.value)
    assert "got got" not in str(caught.value)


def test_a_name_cannot_move_the_cursor():
    name = "a\x1b[2Jb\u202ec\rd\ue000"
    assert harmless(name) == "a\ufffd[2Jb\ufffdc\ufffdd\ufffd"
    assert harmless("a\nb\tc 😀 é\u200d") == "a\nb\tc 😀 é\u200d"
    console = Console(file=io.StringIO(), width=80)
    console.print(cell("[bold]x\n" + name))
    assert console.file.getvalue().rstrip() == "[bold]x\ufffda\ufffd[2Jb\ufffdc\ufffdd\ufffd"


@pytest.mark.parametrize("thresholds", [{"sig_thresh": 2.0}, {"acc_thresh": -0.1}])
@pytest.mark.parametrize("value", [None, float("nan")])
def test_thresholds_outside_their_range_are_refused(tmp_path, template, thresholds, value):
    query = Query.read(template / "query.json")
    if value is not None:
        thresholds = dict.fromkeys(thresholds, value)
    with pytest.raises(InputError, match=r"must be in \[0, 1\]"):
        compile_results(query, **thresholds)
    with pytest.raises(InputError, match="Images per strip must be >= 1; got 0"):
        write_results(template, display_k=0)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_folders_whose_names_are_no_utf8_have_names_that_can_be_written(tmp_path):
    for number, name in enumerate((b"bad\xff", b"bad\xfe", "gut ä".encode())):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        try:
            folder.mkdir()
        except OSError:
            pytest.skip("this file system has Unicode names only")
        path = folder / os.fsdecode(b"x\xfd.png")
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(path)
    images = open_folder(tmp_path)
    assert images.class_names == ("bad\\xfe", "bad\\xff", "gut ä")
    assert images.labels.tolist() == [0, 1, 2]
    assert images.sources[2] == "gut ä/x\\xfd.png"
    assert [int(images.image(i)[0, 0, 0]) for i in range(3)] == [1, 0, 2]
    write_json(tmp_path / "names.json", [*images.class_names, *images.sources])


def test_a_place_that_cannot_be_written_is_named_as_asked_for(tmp_path, capsys, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied", "/x/.results-abc123.json")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(PermissionError) as caught:
        write_json(tmp_path / "results.json", {})
    assert caught.value.filename == str(tmp_path / "results.json")
    monkeypatch.setattr("sys.argv", ["sundog", "results", "run"])

    def fail():
        raise caught.value

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(SystemExit) as stopped:
        main.main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "results.json' must be one that can be read and written; got Permission denied" in said
