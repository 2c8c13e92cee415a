"""Builds a run folder with drawn pictures and findings, for the tests of the review."""

import colorsys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sundog.core.inspection.finding import (
    Effect,
    Evidence,
    Finding,
    Parent,
    Ranking,
    Replication,
    finding_id,
)
from sundog.core.inspection.query import ClassSummary, ImageCard, Query
from sundog.core.statistics.two_groups import newcombe_gap

SCRIPT = "<script>window.hacked = 1; alert(1)</script>"
CLAIMS = (
    # class, concepts, n with, right with, n without, right without
    ("tench", ("water",), 120, 0.45, 80, 0.9125),
    ("tench", ("person", "green grass"), 34, 0.30, 166, 0.74),
    ("church", ("blue sky",), 90, 0.97, 110, 0.70),
    (SCRIPT, ("<img src=x onerror=alert(2)>",), 40, 0.50, 160, 0.80),
    ("../../etc/passwd", ("dark",), 60, 0.55, 140, 0.79),
    ("golf ball", ("colour patch 3 (orange)",), 50, 0.42, 150, 0.90),
    ("كرة الجولف", ("عشب أخضر",), 44, 0.60, 156, 0.83),
    ("garbage truck", ("🚛 lorry 👩‍🔧", "night", "rain"), 22, 0.27, 178, 0.86),
    ("french horn", ("a very long concept name " * 9,), 70, 0.60, 130, 0.79),
    ("", ("indoors",), 400, 0.66, 1200, 0.79),
    ("chain saw", ("snow",), 12, 0.75, 188, 0.80),
    ("gas pump", ("musical instrument",), 100, 0.70, 100, 0.76),
)


def _picture(seed, path, *, marked=False):
    rng = np.random.default_rng(seed)
    hue = rng.random()
    size = 128
    ramp = np.linspace(0.9, 0.35, size)[:, None, None] * np.ones((size, size, 1))
    base = np.array(colorsys.hsv_to_rgb(hue, 0.35, 1.0))
    image = Image.fromarray((255 * ramp * base).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        x, y, r = rng.integers(10, 118), rng.integers(40, 118), rng.integers(6, 30)
        colour = tuple(
            int(255 * c) for c in colorsys.hsv_to_rgb((hue + rng.normal(0.5, 0.1)) % 1, 0.6, 0.8)
        )
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    if marked:
        draw.rectangle((30, 30, 98, 98), outline=(255, 0, 0), width=6)
    image.save(path, quality=80)


def _finding(index, claim, cards, per_strip):
    class_name, concepts, n_with, right_with, n_without, right_without = claim
    kind = "across" if not class_name else "complex" if len(concepts) > 1 else "hidden"
    gap = newcombe_gap(right_with, n_with, right_without, n_without)
    ranked = concepts == ("musical instrument",)
    strong = abs(gap.value) > 0.1 and not gap.low < 0 < gap.high
    errors = round(n_with * (1 - right_with))
    wrong = n_with * (1 - right_with) + n_without * (1 - right_without)
    evidence = []
    for strip in ("present", "absent", "top", "bottom"):
        right = right_with if strip in ("present", "top") else right_without
        for place in range(per_strip):
            key = f"f{index}-{strip}-{place}"
            correct = (place * 7919 + index * 31) % 100 < 100 * right
            cards[key] = ImageCard(
                source=f"{class_name}/{strip}_{place}.jpg",
                class_name=class_name or "tench",
                predicted=(class_name or "tench") if correct else "cassette player",
                correct=correct,
                confidence=0.5 + 0.49 * ((place * 37) % 10) / 10,
                thumbnail=f"images/{key}.jpg",
                overlay=f"images/{key}-map.jpg",
            )
            evidence.append(
                Evidence(
                    image=key,
                    strip=strip,
                    tagged=strip in ("present", "top"),
                    score=1 - place / 10,
                )
            )
    parents, shapley = (), {}
    if kind == "complex":
        parents = tuple(
            Parent(
                concepts=tuple(c for c in concepts if c != left),
                n=n_with * 2,
                gap=gap.value / 2,
                p_more=0.0004 * (at + 1),
            )
            for at, left in enumerate(concepts)
        )
        share = gap.value / (len(concepts) + 1)
        shapley = {c: share * (2 if at == 0 else 1) for at, c in enumerate(concepts)}
    return Finding(
        id=finding_id(kind, class_name, concepts, "accuracy"),
        kind=kind,
        class_name=class_name,
        concepts=concepts,
        source="ranking" if ranked else "tag",
        direction="none" if not strong else "hurts" if gap.value < 0 else "helps",
        effect=Effect(
            metric="accuracy",
            present=right_with,
            absent=right_without,
            n_present=n_with,
            n_absent=n_without,
            gap=gap.value,
            low=gap.low,
            high=gap.high,
            level=0.95,
            method="newcombe",
        ),
        test="fisher",
        p=0.00001 * (index + 1) if strong else 0.2,
        p_adjusted=0.0004 * (index + 1) if strong else 0.92,
        adjustment="westfall_young",
        tests=2340,
        significant=strong,
        smallest_detectable=0.12 + 0.01 * index,
        errors=errors,
        expected_errors=wrong * n_with / (n_with + n_without),
        expected_images=12.4 if kind == "complex" else None,
        ranking=Ranking(auroc=0.58, low=0.5, high=0.66, top_k=5, top_gap=-0.2) if ranked else None,
        parents=parents,
        shapley=shapley,
        replication=Replication(
            status="confirmed" if strong else "half too small to tell",
            p=0.004,
            effect=Effect(
                metric="accuracy",
                present=right_with,
                absent=right_without,
                n_present=n_with // 2,
                n_absent=n_without // 2,
                gap=gap.value * 0.9,
                low=gap.value * 0.9 - 0.17,
                high=gap.value * 0.9 + 0.17,
            ),
        )
        if index % 2 == 0
        else None,
        evidence=tuple(evidence),
    )


def make_run(folder, *, findings=12, per_strip=6, photos=()):
    """Write a run folder and return its query.

    Args:
        folder: to make.
        findings: how many; beyond 12 the claims repeat with numbered concepts.
        per_strip: images per strip.
        photos: files to use as pictures instead of drawn ones.
    """
    folder = Path(folder)
    (folder / "images").mkdir(parents=True)
    cards = {}
    made = []
    for index in range(findings):
        claim = CLAIMS[index % len(CLAIMS)]
        if index >= len(CLAIMS):
            concepts = tuple(f"{c} {index // len(CLAIMS)}" for c in claim[1])
            claim = (claim[0], concepts, *claim[2:])
        made.append(_finding(index, claim, cards, per_strip))
    for at, card in enumerate(cards.values() if findings <= len(CLAIMS) else ()):
        for path, marked in ((card.thumbnail, False), (card.overlay, True)):
            if photos:
                image = Image.open(photos[at % len(photos)]).convert("RGB").resize((128, 128))
                if marked:
                    image = Image.blend(image, Image.new("RGB", image.size, (200, 40, 40)), 0.4)
                image.save(folder / path, quality=85)
            else:
                _picture(at, folder / path, marked=marked)
    previews = {}
    if findings >= 6:
        _picture(999, folder / "images" / "patch3.jpg")
        previews["colour patch 3 (orange)"] = "images/patch3.jpg"
    names = dict.fromkeys(claim[0] for claim in CLAIMS if claim[0])
    query = Query(
        title="Imagenette: what misleads cnn5?",
        classifier="cnn5, biased",
        image_set="imagenette-128 / validation",
        metric="accuracy",
        taggers=("photometric", "patches", "conse"),
        fingerprints={"data": "0" * 32, "model": "1" * 32},
        parameters={"max_tags": 3, "permutations": 1000, "seed": 0},
        classes=tuple(
            ClassSummary(
                name=name,
                n=200,
                accuracy=0.74,
                low=0.675,
                high=0.796,
                concepts=60,
                tests=234,
                findings=1,
                smallest_detectable=0.18,
            )
            for name in names
        ),
        findings=tuple(made),
        images=cards,
        previews=previews,
        notes=("Tags come from taggers that make mistakes.",),
    )
    query.write(folder / "query.json")
    return query
