"""The report of an audit in a real Chromium: without scripts or network, on a phone, on paper."""

import runpy
import shutil
from pathlib import Path

import pytest

from sundog.report.audit_page import audit_page
from sundog.report.page import write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
made = runpy.run_path(str(Path(__file__).parents[1] / "audit_report_run.py"))
try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; .ci/run installs it"),
    pytest.mark.skipif(sync_playwright is None, reason="playwright is not installed"),
]
LONG = "a_very_long_name_without_any_space_" * 8
WIDER = """() => [...document.querySelectorAll("body *")].filter((node) => {
  const box = node.getBoundingClientRect();
  const scrolls = node.closest(".table, pre, svg, .unseen, .skip");
  return box.width && box.right > innerWidth + 1 && !scrolls;
}).map((node) => node.outerHTML.slice(0, 120))"""
POOR = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number).concat([1]).slice(0, 4);
  const linear = (v) => (v <= 10.31 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return parse(getComputedStyle(document.body).backgroundColor);
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || !node.checkVisibility() || node.closest(".unseen, .skip")) continue;
    const style = getComputedStyle(node);
    const front = parse(node.closest("svg") ? style.fill : style.color);
    const pair = [light(front), light(behind(node))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) poor.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
CUT = """() => [...document.querySelectorAll("figure.photo, .chart tr, .act")].filter((node) =>
  getComputedStyle(node).breakInside !== "avoid").length"""


HIDDEN = """() => [...document.querySelectorAll(".table, pre")].filter((node) =>
  node.scrollWidth > node.clientWidth + 1
).map((node) => node.textContent.trim().slice(0, 60))"""
OPEN = "() => document.querySelectorAll('details').forEach((node) => { node.open = true; })"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    names = (f"class {LONG}", *made["CLASSES"][1:])
    performance = made["make_performance"]()
    first = performance.groups[0].model_copy(update={"name": names[0]})
    summary = made["make_summary"](
        folder,
        title=f"Audit of {LONG}",
        performance=performance.model_copy(update={"groups": (first, *performance.groups[1:])}),
        findings=(
            made["make_finding"](concepts=(LONG,)),
            *(made["make_finding"](k, concepts=(f"concept {k}",)) for k in range(1, 6)),
        ),
        stages=made["make_stages"](failed=True),
    )
    return write_page(audit_page(summary, folder=folder), folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        flags = ("--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND")
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(flags))
        yield opened
        opened.close()


def look(browser, address, *, width, dark=False, scripts=False):
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=scripts,
    )
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: said.append(request.url[:60])
            if not request.url.startswith(("data:", address)) else None)  # fmt: skip
    page.goto(address)
    assert not said, "the page asks for something, or breaks its own policy"
    return page


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1200, True)])
def test_it_fits_and_can_be_read(browser, address, width, dark):
    page = look(browser, address, width=width, dark=dark)
    assert page.evaluate(WIDER) == []
    assert page.evaluate(POOR) == []
    first = page.locator(".verdict .headline").bounding_box()
    glance = page.locator("#at-a-glance").bounding_box()
    assert first["y"] < 900 / 2
    assert glance["y"] < (1300 if width == 390 else 900)
    alarm = page.locator(".alarming").bounding_box()
    assert alarm["y"] + alarm["height"] <= page.locator(".verdict").bounding_box()["y"]
    page.context.close()


def test_folded_parts_open_without_a_script_and_lead_from_the_glance(browser, address):
    page = look(browser, address, width=1000)
    table = page.get_by_text("Every finding; intervals are 95")
    assert not table.is_visible()
    page.get_by_text("6 findings in one table").click()
    assert table.is_visible()
    page.get_by_role("link", name="Do its predictions follow a cue?").click()
    assert page.locator("#cues-that-it-relies-on").bounding_box()["y"] < 60
    page.context.close()


def test_no_table_or_command_has_to_be_moved_aside_on_a_phone(browser, address):
    page = look(browser, address, width=390)
    page.evaluate(OPEN)
    assert page.evaluate(HIDDEN) == []
    assert page.evaluate(WIDER) == []
    lists = page.locator(".table.many td").first
    assert lists.evaluate("node => getComputedStyle(node, '::before').content") != "none"
    page.context.close()


def test_on_paper_everything_is_open_and_nothing_is_cut(browser, address, tmp_path):
    page = look(browser, address, width=680, dark=True)  # A4 less its margins
    folded = page.get_by_text("Every finding; intervals are 95")
    assert not folded.is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    assert folded.is_visible()
    assert page.get_by_text("A person must state who watches the output").is_visible()
    assert page.evaluate(CUT) == 0
    assert page.evaluate(HIDDEN) == []
    assert page.evaluate(POOR) == []
    assert not page.locator("nav").is_visible()
    paper = tmp_path / "report.pdf"
    page.pdf(path=paper, format="A4")
    assert paper.read_bytes().startswith(b"%PDF")
    assert 10_000 < paper.stat().st_size < 5_000_000
    page.context.close()
