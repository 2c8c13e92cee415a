"""The review page in a real Chromium: keyboard, undo, blind, resume, hostile names, widths."""

import json
import random
import re
import runpy
import shutil
import threading
import time
from pathlib import Path

import pytest

from sundog.core.inspection.events import Event, read_events
from sundog.core.inspection.feedback import fold_events
from sundog.core.inspection.results import judge
from sundog.review.serve import ReviewServer
from sundog.review.session import Session

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
make_run = runpy.run_path(str(Path(__file__).parents[1] / "review_run.py"))["make_run"]
try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    sync_playwright = None
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; .ci/run installs it"),
    pytest.mark.skipif(sync_playwright is None, reason="playwright is not installed"),
]
WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => window.violations.push(event.blockedURI));
"""

NAMELESS = """() => [...document.querySelectorAll("button, a, input, select, textarea")]
  .filter((node) => node.offsetParent && !(node.getAttribute("aria-label")
    || node.textContent.trim() || node.labels?.length || node.getAttribute("aria-labelledby")))
  .map((node) => node.outerHTML.slice(0, 80))"""
CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number).concat([1]).slice(0, 4);
  const linear = (v) => (v <= 10.31 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const seen = { opacityProperty: true, visibilityProperty: true };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || !node.checkVisibility(seen)) continue;
    if (node.closest("[disabled], .unseen, .skip, #toast, noscript")) continue;
    const style = getComputedStyle(node);
    const front = parse(node.closest("svg") ? style.fill : style.color);
    const pair = [light(front), light(behind(node))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review") / "run"
    make_run(folder, per_strip=8)
    return folder


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield opened
        opened.close()


class Review:
    """A run folder, its server, and the pages opened on it."""

    def __init__(self, folder, browser):
        self.folder = folder
        self.browser = browser
        self.contexts = []
        self.problems = []
        self.start()

    def start(self, port=0):
        self.server = ReviewServer(Session.open(self.folder), port=port)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self):
        self.server.stop()
        self.thread.join(timeout=20)

    def page(self, name="Ada", *, context=None, quiet=False, **options):
        if context is None:
            options = {"viewport": {"width": 1440, "height": 900}, **options}
            context = self.browser.new_context(**options)
            context.add_init_script(WATCH)
            self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: (self.problems.append("dialog"), dialog.dismiss()))
        if not quiet:
            page.on("console", self._console)
        page.goto(self.server.door.url)
        if name:
            page.fill("#reviewer", name)
            page.keyboard.press("Enter")
            page.wait_for_selector("html[data-ready=yes]")
        return page

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def events(self):
        return read_events(self.folder).events

    def wait_for_events(self, number):
        deadline = time.monotonic() + 8
        while len(self.events()) < number and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.events()) == number
        return self.events()

    def judged(self):
        query = Session.open(self.folder).query
        return judge(query, fold_events(query, self.events()))


@pytest.fixture
def review(template, tmp_path, browser):
    folder = tmp_path / "run"
    shutil.copytree(template, folder)
    made = Review(folder, browser)
    yield made
    for context in made.contexts:
        for page in context.pages:
            if "127.0.0.1" in page.url:
                assert page.evaluate("window.violations") == []
        context.close()
    made.stop()
    assert made.problems == []


def _press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def _heading(page):
    return page.inner_text("#names")


def test_a_whole_review_by_keyboard_alone(review):
    page = review.page()
    expect(page.locator("#progress-text")).to_have_text("0 of 12 judged")
    order = [f.id for f in Session.open(review.folder).query.findings]
    given = []
    for at in range(12):
        key = page.locator(".row[aria-current]").get_attribute("data-id")
        number = at % 5 + 1
        _press(page, f"Shift+Digit{at % 4 + 1}", f"Digit{number}")
        given.append((key, number, at % 4 + 1))
        expect(page.locator("#progress-text")).to_have_text(f"{at + 1} of 12 judged")
        if at < 11:
            expect(page.locator(".row[aria-current]")).not_to_have_attribute("data-id", key)
    assert sorted(key for key, *_ in given) == sorted(order)
    verdicts = ("core", "separate object", "background", "concept absent", "not sure")
    said = {(e.finding, e.verdict, e.confidence) for e in review.wait_for_events(12)}
    assert said == {(key, verdicts[number - 1], sure) for key, number, sure in given}
    assert all(e.reviewer == "Ada" and not e.blind and e.seconds >= 0 for e in review.events())
    expect(page.locator("#toast")).to_contain_text("All findings are judged")
    assert "token" not in page.url


def test_moving_searching_and_closing_by_keyboard(review):
    page = review.page()
    assert _heading(page) == "water"
    _press(page, "j")
    assert _heading(page) == "person + green grass"
    _press(page, "ArrowRight", "k", "ArrowLeft", "ArrowLeft")
    assert _heading(page) == "water"
    expect(page.locator("#toast")).to_contain_text("first finding")
    _press(page, "l", "ArrowDown", "ArrowDown")
    assert _heading(page) == "blue sky"
    assert page.evaluate("document.activeElement.className") == "row"
    _press(page, "End")
    assert _heading(page) != "blue sky"
    _press(page, "/")
    page.keyboard.type("TENCH gras")
    expect(page.locator("#shown")).to_have_text("1 of 12 findings")
    _press(page, "Escape", "j")
    _press(page, "?")
    expect(page.locator("dialog h2")).to_have_text("Keys")
    _press(page, "1", "Escape")  # keys do nothing behind a dialog
    expect(page.locator("dialog")).to_have_count(0)
    assert review.events() == ()


def test_marking_images_changes_the_estimate_and_undo_takes_it_back(review):
    page = review.page()
    finding = Session.open(review.folder).query.findings[0]
    assert finding.concepts == ("water",)
    _press(page, "i", "x", "ArrowRight", "ArrowRight", "x")
    expect(page.locator(".shot[aria-pressed=true]")).to_have_count(2)
    marked = [e.image for e in review.wait_for_events(2)]
    present = [e.image for e in finding.evidence if e.strip == "present"]
    assert marked == [present[0], present[2]]
    gap = 100 * finding.effect.gap / (6 / 8 + 1 - 1)
    words = page.locator("#estimate")
    expect(words).to_contain_text(f"the gap is −{-gap:.0f} points")
    expect(words).to_contain_text("2 are wrong")
    expect(words).to_contain_text("Provisional")
    expect(page.locator(".gap-plot .corrected")).not_to_have_count(0)
    _press(page, "c")
    expect(page.locator("#checked")).to_be_disabled()
    expect(words).not_to_contain_text("Provisional")
    _press(page, "u", "u")
    expect(words).to_contain_text("1 is wrong")
    expect(page.locator(".shot[aria-pressed=true]")).to_have_count(1)
    _press(page, "r")
    expect(words).to_contain_text("2 are wrong")
    page.locator(".strip.absent .shot").nth(1).click()
    expect(words).to_contain_text("1 shows the concept")
    review.wait_for_events(7)
    tags = review.judged()[0].tags
    assert (tags.wrong_present, tags.wrong_absent, tags.checked_present) == (2, 1, 8)


def test_images_of_the_ranking_cannot_be_marked_and_the_page_says_why(review):
    page = review.page()
    assert page.locator(".strip.top button, .strip.bottom button").count() == 0
    assert page.locator(".strip.top .shot").count() == 8
    text = page.inner_text("#finding")
    assert "estimated from the random samples alone" in text
    page.locator(".strip.top .shot").first.click()
    assert review.events() == ()


def test_undo_redo_notes_and_changed_verdicts(review):
    page = review.page()
    _press(page, "a", "3")
    expect(page.locator("[data-verdict=background]")).to_have_attribute("aria-pressed", "true")
    _press(page, "n")
    page.keyboard.type("the sea 123 jk?")
    _press(page, "Enter", "Shift+Digit5", "u")
    review.wait_for_events(4)
    (answer,) = Session.open(review.folder).feedback().answers
    assert (answer.verdict, answer.note, answer.confidence) == (
        "background",
        "the sea 123 jk?",
        None,
    )
    expect(page.locator("#note")).to_have_value("the sea 123 jk?")
    _press(page, "u", "u")
    expect(page.locator("#progress-text")).to_have_text("0 of 12 judged")
    expect(page.locator("#note")).to_have_value("")
    _press(page, "r", "r", "r")
    expect(page.locator("[data-sure='5']")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#note")).to_have_value("the sea 123 jk?")
    expect(page.locator("#redo")).to_be_disabled()
    _press(page, "1")
    expect(page.locator("[data-verdict=core]")).to_have_attribute("aria-pressed", "true")
    review.wait_for_events(10)
    (answer,) = Session.open(review.folder).feedback().answers
    assert (answer.verdict, answer.note, answer.confidence) == ("core", "the sea 123 jk?", 5)


def test_closing_and_opening_goes_on_where_it_stopped(review):
    page = review.page()
    _press(page, "a", "Digit3")
    expect(page.locator("#progress-text")).to_have_text("1 of 12 judged")
    _press(page, "j", "i", "x")
    review.wait_for_events(2)
    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    expect(page.locator("#progress-text")).to_have_text("1 of 12 judged")
    assert _heading(page) == "person + green grass"
    expect(page.locator(".shot[aria-pressed=true]")).to_have_count(1)
    expect(page.locator("#estimate")).to_contain_text("1 is wrong")
    _press(page, "u")
    expect(page.locator(".shot[aria-pressed=true]")).to_have_count(0)


def test_blind_mode_hides_what_gives_the_answer_away_until_the_verdict(review):
    page = review.page()
    _press(page, "b", "a")
    shown = page.inner_text("body")
    for telling in ("points", "Adjusted", "hurts", "helps", "✗", "lower", "higher", "n. s."):
        assert telling not in page.inner_text("#finding"), telling
        assert telling not in page.inner_text("#list"), telling
    assert "Blind mode" in shown
    assert page.locator(".gap-plot, .mistaken").count() == 0
    for telling in ("by-direction", "by-significance", "by-order"):
        assert page.locator(f"#{telling}").is_disabled()
    order = page.locator(".row").evaluate_all("rows => rows.map(row => row.dataset.id)")
    assert order == sorted(order)  # by a hash, not by strength
    page.locator(".shot[data-toggles]").first.click()
    expect(page.locator("#estimate")).to_contain_text("1 is wrong")
    assert "the gap is" not in page.inner_text("#estimate")
    _press(page, "2")
    expect(page.locator(".gap-plot")).to_have_count(1)
    assert "points" in page.inner_text("#finding")
    verdict = review.wait_for_events(2)[-1]
    assert verdict.blind
    assert verdict.verdict == "separate object"


def test_hostile_names_are_text(review):
    page = review.page()
    for _ in range(11):
        _press(page, "j")
        page.wait_for_timeout(15)
    page.fill("#search", "script")
    expect(page.locator("#shown")).to_have_text("1 of 12 findings")
    page.locator(".row").first.click()
    assert "<script>window.hacked = 1; alert(1)</script>" in page.inner_text(".claim")
    page.click("#about")
    assert "<script>" in page.inner_text("dialog")
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelectorAll('script').length") == 1
    assert page.locator("bdi img, bdi script").count() == 0


def test_every_concept_of_a_combination_is_set_apart(review):
    page = review.page()
    page.fill("#search", "rain")
    expect(page.locator(".row-names")).to_have_text(re.compile(r"lorry .+ \+ night \+ rain$"))


def test_rename_and_merge(review):
    page = review.page()
    _press(page, "e")
    page.fill("#rename-to", "<b>the sea</b>")
    _press(page, "Enter")
    expect(page.locator("#names")).to_have_text("<b>the sea</b>")
    expect(page.locator(".claim")).to_contain_text("“<b>the sea</b>”")
    expect(page.locator("#list .row").first).to_contain_text("<b>the sea</b>")
    _press(page, "j", "m")
    page.select_option("#merge-which", "person")
    page.fill("#merge-into", "no such concept")
    _press(page, "Enter")
    expect(page.locator("dialog [role=alert]")).to_contain_text("no such concept")
    page.fill("#merge-into", "snow")
    _press(page, "Enter")
    expect(page.locator("#names")).to_have_text("snow + green grass")
    said = [(e.action, e.concept, e.name) for e in review.wait_for_events(2)]
    assert said == [("rename", "water", "<b>the sea</b>"), ("merge", "person", "snow")]
    _press(page, "u")
    expect(page.locator("#names")).to_have_text("person + green grass")


def test_two_reviewers_agreement_and_hidden_verdicts_of_others(review):
    ada = review.page("Ada")
    for key in ("3", "1", "2"):
        with ada.expect_response("**/api/events"):
            _press(ada, key)
        ada.wait_for_timeout(600)
    bob = review.page("Bob")
    expect(bob.locator("#more")).to_contain_text("1 other verdict, shown after yours")
    assert "Ada" not in bob.inner_text("#more")
    _press(bob, "a", "2")
    expect(bob.locator("#more")).to_contain_text("Ada: background")
    _press(bob, "j", "1", "j", "1")
    expect(bob.locator("#agreement")).to_contain_text("2 reviewers, 3 findings")
    agreement = bob.inner_text("#agreement")
    kappa = float(re.search(r"κ (−?\d\.\d\d)", agreement).group(1))
    # spurious/spurious, core/core, spurious/core: P = 2/3, p = 1/2 -> kappa = 1/3
    assert kappa == pytest.approx(1 / 3, abs=0.005)
    assert "67 % of pairs" in agreement
    expect(ada.locator("#agreement")).to_contain_text("κ", timeout=9000)  # she is told as well


def test_a_lost_connection_is_said_and_nothing_is_lost(review):
    page = review.page(quiet=True)
    port = review.server.door.port
    review.stop()
    _press(page, "3")
    expect(page.locator("#banner")).to_contain_text("connection to the server is lost")
    expect(page.locator("#banner")).to_contain_text("1 unsaved act")
    page.wait_for_timeout(600)
    _press(page, "2", "u", "r")
    expect(page.locator("#progress-text")).to_have_text("2 of 12 judged")
    assert review.events() == ()
    review.start()
    assert review.server.door.port == port  # the same one, so that the old page finds it
    expect(page.locator("#banner")).to_contain_text("Open the link it printed", timeout=12000)
    again = review.page(None, context=page.context, quiet=True)
    again.wait_for_selector("html[data-ready=yes]")
    expect(again.locator("#progress-text")).to_have_text("2 of 12 judged")
    events = review.wait_for_events(4)
    assert [e.action for e in events] == ["verdict", "verdict", "undo", "undo"]
    expect(page.locator("#banner")).to_be_hidden(timeout=12000)
    assert len(review.events()) == 4
    assert page.evaluate("Object.keys(localStorage).filter(k => k.includes('unsent')).length") == 0


def test_a_missing_picture_shows_a_placeholder(review):
    (review.folder / "images" / "f0-present-0.jpg").unlink()
    page = review.page(quiet=True)
    gone = page.locator(".frame.missing")
    expect(gone).to_have_count(1)
    assert "picture missing" in gone.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_no_sideways_scroll_and_readable_colours(review, width, scheme):
    page = review.page(
        viewport={"width": width, "height": 780}, color_scheme=scheme, reduced_motion="reduce"
    )
    for _ in range(12):
        wide = page.evaluate(
            "[document.documentElement, document.getElementById('finding')]"
            ".map(node => node.scrollWidth - node.clientWidth)"
        )
        assert wide == [0, 0]
        _press(page, "j")
    _press(page, "1", "Shift+Digit2", "i", "x")
    page.wait_for_selector(".shot[aria-pressed=true]")
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(NAMELESS) == []
    bright = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", bright)[:3])) < 200) == (scheme == "dark")


def test_two_thousand_findings_stay_fast(tmp_path, browser):
    make_run(tmp_path / "run", findings=2000, per_strip=2)
    review = Review(tmp_path / "run", browser)
    try:
        page = review.page(quiet=True)  # its pictures are missing
        assert page.locator("#list .row").count() < 400
        started = time.monotonic()
        for _ in range(10):
            _press(page, "j")
        assert time.monotonic() - started < 5
        times = []
        for _ in range(5):
            times.append(
                page.evaluate(
                    """async () => {
                      const started = performance.now();
                      const key = { key: "3", code: "Digit3" };
                      document.dispatchEvent(new KeyboardEvent("keydown", key));
                      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
                      return performance.now() - started;
                    }"""
                )
            )
            page.wait_for_timeout(700)
        assert sorted(times)[2] < 400
        review.wait_for_events(5)
        _press(page, "l", "End")
        expect(page.locator(".row[aria-current]")).to_be_visible()
        page.fill("#search", "person 16")
        expect(page.locator("#shown")).to_have_text("9 of 2,000 findings")
    finally:
        for context in review.contexts:
            context.close()
        review.stop()
    assert [p for p in review.problems if "404" not in p] == []


def test_forced_settings_last(review):
    page = review.page()
    _press(page, "?")
    page.uncheck("#single-keys")
    _press(page, "Escape", "3")
    page.wait_for_timeout(200)
    assert review.events() == ()
    stored = json.loads(page.evaluate("localStorage.getItem('sundog review preferences')"))
    assert stored["singleKeys"] is False
    assert stored["reviewer"] == "Ada"


def _random_events(rng, query, length):
    """Return a reviewer's acts, with undos of anything before them, undos among it."""
    made = []
    wanted = query.content_hash()
    for at in range(length):
        finding = query.findings[rng.randrange(2)]
        base = {"id": f"{at:032x}", "query": wanted, "time": "2026-01-01", "reviewer": "Ada"}
        action = rng.choice(
            ("verdict", "verdict", "tag wrong", "tag right", "tags checked", "undo")
        )
        if action == "undo" and not made:
            continue
        fields = {
            "verdict": {
                "finding": finding.id,
                "verdict": rng.choice(("core", "background")),
                "note": rng.choice(("", "x")),
                **({"confidence": rng.randint(1, 5)} if rng.random() < 0.5 else {}),
            },
            "undo": {"undoes": rng.choice(made)["id"] if made else ""},
            "tags checked": {"finding": finding.id},
        }.get(action, {"finding": finding.id, "image": finding.evidence[rng.randrange(3)].image})
        made.append({**base, "action": action, **fields})
    return made


def test_the_page_folds_events_as_the_records_do(review):
    """What the page shows before the server answers is what the server will say."""
    page = review.page()
    query = Session.open(review.folder).query
    rng = random.Random(7)  # noqa: S311
    sequences = [_random_events(rng, query, rng.randrange(1, 25)) for _ in range(60)]
    seen = page.evaluate(
        """async (sequences) => {
          const page = await import("/store.js");
          const kept = page.store.events;
          const found = sequences.map((events) => {
            page.store.events = events;
            page.changed();
            return [...page.fold().answers].map(([id, a]) =>
              [id, a.verdict, a.confidence, a.note, [...a.wrong].sort(), a.checked]).sort();
          });
          page.store.events = kept;
          page.changed();
          return found;
        }""",
        sequences,
    )
    for events, shown in zip(sequences, seen, strict=True):
        said = fold_events(query, [Event.model_validate(event) for event in events]).answers
        wanted = [
            [a.finding, a.verdict, a.confidence, a.note, list(a.wrong_images), a.tags_checked]
            for a in said
        ]
        assert shown == sorted(wanted, key=lambda row: row[0])


def test_cues_come_first_and_blind_hides_what_is_predicted(tmp_path, browser):
    """A cue named like a script is text; its triples are shown; a verdict on it is an event."""
    from sundog.core.audit.cue_findings import with_cues
    from sundog.core.inspection.query import Query

    cues = runpy.run_path(str(Path(__file__).parents[1] / "cue_records.py"))
    folder = tmp_path / "run"
    make_run(folder, findings=2, per_strip=1)
    name = "<img src=x onerror=alert(3)>"
    made = cues["write_cues"](folder, cues["cue_record"](1, examples=2, name=name))
    query = Query.read(folder / "query.json")
    with_cues(query, made).write(folder / "query.json")
    for file in (folder / "images").glob("*-1*.png"):  # under the names that the query gives them
        for place in range(1, 8):
            shutil.copy(file, folder / "images" / f"cue-{1:016x}-{place}.png")
    review = Review(folder, browser)
    try:
        page = review.page()
        expect(page.locator(".row").first).to_contain_text(name)
        assert _heading(page) == name
        expect(page.locator(".transplants > li")).to_have_count(2)
        expect(page.locator(".transplant img").first).to_have_js_property("complete", True)
        expect(page.locator(".said").first).to_have_text("a three")
        assert page.evaluate("document.querySelectorAll('.missing').length") == 0
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate(NAMELESS) == []
        page.click("#blind")
        expect(page.locator(".said").first).to_be_hidden()
        assert "%" not in page.inner_text(".claim")
        _press(page, "Digit3")
        expect(page.locator("#progress-text")).to_have_text("1 of 3 judged")
        event = review.wait_for_events(1)[0]
        assert (event.finding, event.verdict, event.blind) == (f"{1:016x}", "background", True)
        assert review.judged()[0].decision == "shortcut"
        assert review.problems == []
    finally:
        for context in review.contexts:
            context.close()
        review.stop()
