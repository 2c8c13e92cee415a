"""The report as Markdown: the same content, every name as it is, tables that hold together."""

import runpy
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from sundog.report.audit_markdown import audit_markdown
from sundog.report.audit_page import audit_page
from sundog.report.page_markdown import fenced, plain

made = runpy.run_path(str(Path(__file__).parents[1] / "audit_report_run.py"))
EVIL = "a|b <img src=x onerror=y> **b** `c` [d](http://e) $x$ _u_ ~~s~~ \\ & # 1."


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("markdown")
    summary = made["make_summary"](folder)
    return folder, summary, audit_markdown(summary, folder=folder)


def tokens(text):
    return MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(text)


def shown(text):
    """The text that a reader sees: of inline tokens, code blocks and HTML blocks."""
    words = []
    for token in tokens(text):
        if token.type == "fence":
            words.append(token.content)
        for child in token.children or []:
            if child.type in ("text", "code_inline"):
                words.append(child.content)
            if child.type == "image":
                words.append(child.content)
    return "".join(words)


def bare(text):
    return text.replace("\u00a0", " ").replace("\n", "")


@pytest.mark.parametrize(
    "name",
    [EVIL, "# heading", "- item", "1. first", "---", "===", "> quote", "a\n\n| b |\n|---|",
     "[x]: y", "![i](j)", "<!-- c -->", "&lt;", "*", "__init__", "+ plus", "0.75", "-1"],
)  # fmt: skip
def test_any_text_is_shown_as_it_is(name):
    wanted = " ".join(name.split())
    (paragraph,) = [t for t in tokens(plain(name)) if t.type == "inline"]
    assert "".join(child.content for child in paragraph.children) == wanted
    assert {child.type for child in paragraph.children} <= {"text", "text_special"}
    assert tokens(plain(name))[0].type == "paragraph_open"


def test_code_cannot_leave_its_fence():
    code = "echo '```'\n````\n# not a heading"
    (fence,) = [t for t in tokens("\n".join(fenced(code))) if t.type == "fence"]
    assert fence.content.rstrip("\n") == code


def test_it_says_what_the_page_says(run):
    folder, summary, text = run
    words = bare(shown(text))
    page = audit_page(summary, folder=folder)

    def check(sections):
        for section in sections:
            said = [*section.text, *section.notes, *(c.answer for c in section.checks)]
            said += [b.text for b in section.badges] + [c.caption for c in section.charts]
            said += [t.caption for t in section.tables]
            said += [section.action.text, section.action.command] if section.action else []
            for sentence in said:
                assert bare(sentence) in words, sentence
            check(section.parts)

    check(page.sections)
    for sentence in (page.headline, *page.answers.values()):
        assert bare(sentence) in words
    assert text.startswith(
        "# Audit of cnn5 on 1,970 photographs\n\n**BIAS FOUND.** The model follows"
    )


def test_pictures_are_links_to_files_of_the_run(run):
    folder, _, text = run
    images = [c for t in tokens(text) for c in t.children or [] if c.type == "image"]
    assert len(images) >= 60
    assert all((folder / image.attrs["src"]).is_file() for image in images)
    assert all(image.content for image in images)


def test_tables_hold_together_and_folds_are_closed(run):
    _, _, text = run
    rows, width, open_tables = 0, 0, 0
    for token in tokens(text):
        if token.type == "table_open":
            width, open_tables = 0, open_tables + 1
        if token.type == "tr_open":
            rows, cells = rows + 1, 0
        if token.type in ("th_open", "td_open"):
            cells += 1
        if token.type == "tr_close":
            width = width or cells
            assert cells == width
    assert open_tables > 20
    assert text.count("<details>") == text.count("</details>") > 5


def test_hostile_names_change_nothing(tmp_path):
    cue = made["make_cue"](tmp_path, name=EVIL, classes=(EVIL,))
    finding = made["make_finding"](class_name=EVIL, concepts=(EVIL,))
    evil = made["make_summary"](
        tmp_path, title=EVIL, cues=(cue,), findings=(finding,), tested_concepts={EVIL: 1}
    )
    text = audit_markdown(evil, folder=tmp_path)
    html = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(text)
    assert "<img src=x" not in html
    assert 'href="http://e"' not in html
    assert "<b>" not in html
    assert shown(text).count("onerror=y") >= 8
