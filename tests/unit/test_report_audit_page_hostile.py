"""The report of an audit from a hostile record: lost pictures, names with markup, any size."""

import numpy as np
from PIL import Image
from tests import audit_report_run as made
from tests.audit_report_run import make_finding, make_summary
from tests.report_outline import EVIL, Outline, part, walk

from sundog.core.audit.summary import Stage
from sundog.report.audit_page import audit_page
from sundog.report.page import render


def test_pictures_that_are_lost_or_lie_outside_are_left_out_and_counted(tmp_path):
    folder = tmp_path / "run"
    summary = make_summary(folder)
    secret = tmp_path / "secret.png"
    Image.fromarray(np.full((9, 9, 3), 200, np.uint8)).save(secret)
    (folder / "linked.png").symlink_to(secret)
    (folder / "cues/images/0-0-0.png").unlink()
    (folder / "cues/images/0-1-1.png").write_bytes(b"\x89PNG broken")
    suspects = [
        summary.risk.outliers[0].model_copy(update={"thumbnail": name})
        for name in ("../secret.png", str(secret), "linked.png", "nothing.png")
    ]
    risk = summary.risk.model_copy(update={"outliers": tuple(suspects)})
    page = audit_page(summary.model_copy(update={"risk": risk}), folder=folder)
    assert not [g for g in part(page, "Rare, unsure").galleries if "Rarest" in g.title]
    assert [g.title for g in part(page, "1. Patch").galleries] == ["Where it is"]
    assert [n for n in part(page, "Limits").notes if n.startswith("6 pictures are missing")]
    render(page)


def test_every_name_is_escaped(tmp_path):
    cue = made.make_cue(tmp_path, name=EVIL, classes=(EVIL, "b")).model_copy(
        update={"captions": (EVIL,) * 6, "note": EVIL}
    )
    finding = make_finding(class_name=EVIL, concepts=(EVIL,), note=EVIL)
    risk = made.make_risk(tmp_path)
    suspect = risk.outliers[0].model_copy(update={"source": EVIL, "label": EVIL, "why": EVIL})
    summary = make_summary(
        tmp_path,
        title=EVIL,
        answer=(EVIL, EVIL, EVIL),
        classifier=EVIL,
        image_set=EVIL,
        facts={EVIL: EVIL},
        cues=(cue,),
        findings=(finding,),
        verdicts={finding.id: EVIL},
        risk=risk.model_copy(update={"outliers": (suspect,), "groups": (EVIL,)}),
        tested_concepts={EVIL: 3},
        smallest_detectable={EVIL: 0.2},
        cue_notes=(EVIL,),
        before={"title": EVIL, EVIL: EVIL},
        limits=(EVIL,),
        duties={"intended_use": EVIL, EVIL: EVIL},
        manifest={EVIL: {EVIL: EVIL}, "command": EVIL, "arguments": {"model": EVIL}},
        stages=(Stage(name=EVIL, status="failed", message=EVIL),),
    )
    html = render(audit_page(summary, folder=tmp_path))
    outline = Outline(html)
    assert "<script" not in html
    assert not outline.problems
    assert outline.words.count(EVIL) >= 30
    assert all(
        not a.get("alt", "").startswith('<script>alert(1)</script>" ') for _, a in outline.tags
    )


def test_a_page_of_any_size_fits_into_five_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    name = made.save(tmp_path, "noise.jpg", noise)
    cards = {
        key: card.model_copy(update={"thumbnail": name})
        for key, card in make_summary(tmp_path).images.items()
    }
    cue = made.make_cue(tmp_path)
    cues = tuple(cue.model_copy(update={"id": f"{k:x}", "pictures": (name,) * 6, "mask": name})
                 for k in range(30))  # fmt: skip
    performance = made.make_performance()
    group = performance.groups[0]
    names = tuple(f"class {k:04d} {'of a very long name ' * 20}" for k in range(1000))
    suspects = tuple(s.model_copy(update={"thumbnail": name})
                     for s in made.make_risk(tmp_path).outliers) * 20  # fmt: skip
    summary = make_summary(
        tmp_path,
        class_names=names,
        images=cards,
        cues=cues,
        cue_tests=made.make_tests() * 100,
        findings=tuple(make_finding(k, class_name=names[k], concepts=("x" * 300,))
                       for k in range(300)),
        performance=performance.model_copy(
            update={"groups": tuple(group.model_copy(update={"name": n}) for n in names)}
        ),
        risk=made.make_risk(tmp_path).model_copy(
            update={"label_errors": suspects, "outliers": suspects}
        ),
        smallest_detectable=dict.fromkeys(names, 0.2),
        changes=made.make_changes() * 200,
        limits=("a limit " * 60,) * 30,
    )  # fmt: skip
    page = audit_page(summary, folder=tmp_path)
    shown = sum(len(g.photos) for s in walk(page.sections) for g in s.galleries)
    assert shown >= 200
    html = render(page)
    assert len(html.encode()) <= 5_000_000
    words = Outline(html).words
    assert "300 findings in one table" in words
    assert "15 lowest of 1,000" in words
    assert "800 more are in audit.json" in words
