"""An audit's summary made from records, with pictures drawn by numpy: for tests of its report."""

import math
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from sundog.core.audit.cues import CueRecord, CueTest, Dose
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import (
    AuditSummary,
    Change,
    Explanations,
    Group,
    MethodScore,
    Performance,
    Risk,
    Stage,
    Suspect,
)
from sundog.core.inspection.finding import Effect, Evidence, Finding, Replication, finding_id
from sundog.core.inspection.query import ImageCard
from sundog.core.statistics import Estimate, proportion_difference, wilson_interval

CLASSES = ("tench", "springer", "cassette player", "chain saw", "church", "French horn",
           "garbage truck", "gas pump", "golf ball", "parachute")  # fmt: skip
COLOURS = ((31, 119, 180), (140, 86, 75), (255, 127, 14), (44, 160, 44), (214, 39, 40))


def rate(hits, n):
    return Measured.of(wilson_interval(hits, n))


def difference(a, n_a, b, n_b):
    return Measured.of(proportion_difference(a, n_a, b, n_b))


def number(value, half, n, method="bca"):
    return Measured(value=value, low=value - half, high=value + half, n=n, method=method)


@cache
def draw(seed, *, side=96, mark=None, hue=0.0):
    """A blob before a smooth background; ``mark`` paints a stamp into the lower right."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / side
    base = 0.45 + 0.3 * np.sin(3 * rows + hue) + 0.15 * np.cos(5 * columns + seed)
    image = np.stack([base, base * (0.8 + 0.2 * math.sin(hue)), 1 - base], axis=2)
    x, y = rng.uniform(0.35, 0.6, 2)
    inside = (rows - y) ** 2 / 0.05 + (columns - x) ** 2 / (0.03 + 0.02 * rng.random()) < 1
    image[inside] = 0.25 * image[inside] + 0.75 * rng.uniform(0.1, 0.9, 3)
    pixels = (255 * np.clip(image + rng.normal(0, 0.03, image.shape), 0, 1)).astype(np.uint8)
    if mark is not None:
        far = round(0.72 * side)
        patch = pixels[far : far + side // 6, far : far + side // 5]
        patch[::2, ::3] = mark
        patch[1::4] = mark
    return pixels


def save(folder, name, pixels):
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return name


def make_cue(folder, number_=0, *, name="patch, lower right", classes=("tench", "church")):
    files, captions = [], []
    for row in range(2):
        colour = COLOURS[row]
        trio = [draw(row, side=128, mark=colour, hue=row), draw(20 + row, side=128, hue=2 + row),
                draw(20 + row, side=128, mark=colour, hue=2 + row)]  # fmt: skip
        for part, pixels in enumerate(trio):
            files.append(save(folder, f"cues/images/{number_}-{row}-{part}.png", pixels))
        goal = classes[row % len(classes)]
        captions += [f"{goal}, predicted {goal}", "gas pump, predicted gas pump",
                     f"predicted {goal}"]  # fmt: skip
    mask = np.zeros((128, 128, 3), np.uint8)
    mask[92:113, 92:117] = 255
    doses = [Dose(what="opacity", dose=d, flip=rate(h, 212))
             for d, h in ((0.25, 9), (0.5, 61), (0.75, 121), (1.0, 144))]  # fmt: skip
    doses += [Dose(what="size", dose=d, flip=rate(h, 212))
              for d, h in ((0.25, 4), (0.5, 38), (0.75, 98), (1.0, 144))]  # fmt: skip
    return CueRecord(
        id=f"{number_:016x}",
        family="window",
        kind="local",
        name=name,
        classes=classes,
        flip=rate(144, 212),
        control=rate(2, 212),
        excess=difference(144, 212, 2, 212),
        p=1e-9,
        p_adjusted=3e-7,
        intact=rate(196, 212),
        swapped=rate(66, 212),
        reliance=difference(196, 212, 66, 212),
        pull=number(0.59, 0.07, 212),
        component={"family": "window"},
        random_place=rate(5, 212),
        dose=tuple(doses),
        box=(0.72, 0.72, 0.165, 0.195),
        mask=save(folder, f"cues/images/{number_}-mask.png", mask),
        pictures=tuple(files),
        captions=tuple(captions),
    )


def make_finding(number_=0, *, class_name="church", concepts=("indoor",), direction="hurts",
                 present=(22, 40), absent=(238, 257), **changes):  # fmt: skip
    kind = "hidden" if len(concepts) == 1 else "complex"
    gap = proportion_difference(*present, *absent)
    evidence = tuple(
        Evidence(image=f"{number_ % 3}-{strip}-{k}", strip=strip, tagged=strip == "present")
        for strip in ("present", "absent")
        for k in range(8)
    )
    half = Effect(metric="accuracy", present=0.6, absent=0.93, n_present=20, n_absent=128,
                  gap=-0.33, low=-0.53, high=-0.14, method="newcombe")  # fmt: skip
    values = {
        "id": finding_id(kind, class_name, (*concepts, str(number_)), "accuracy"),
        "kind": kind,
        "class_name": class_name,
        "concepts": concepts,
        "direction": direction,
        "effect": Effect(
            metric="accuracy",
            present=present[0] / present[1],
            absent=absent[0] / absent[1],
            n_present=present[1],
            n_absent=absent[1],
            gap=gap.value,
            low=gap.low,
            high=gap.high,
            method="newcombe",
        ),
        "p": 1e-6,
        "p_adjusted": 0.0004,
        "tests": 1840,
        "significant": True,
        "errors": present[1] - present[0],
        "expected_errors": 4.8,
        "replication": Replication(status="confirmed", effect=half, p=0.002),
        "evidence": evidence,
    }
    return Finding(**{**values, **changes})


def make_cards(folder):
    cards = {}
    for group in range(3):
        for strip in ("present", "absent"):
            for k in range(8):
                right = strip == "absent" or k % 2 == 0
                pixels = draw(100 * group + 10 * k + (strip == "present"), hue=group + 2.0 * (
                    strip == "present"))  # fmt: skip
                key = f"{group}-{strip}-{k}"
                cards[key] = ImageCard(
                    source=f"{key}.jpg",
                    class_name="church",
                    predicted="church" if right else "garbage truck",
                    correct=right,
                    confidence=0.8,
                    thumbnail=save(folder, f"inspect/images/{key}.jpg", pixels),
                )
    return cards


def make_performance():
    rights = (148, 131, 171, 155, 172, 160, 176, 149, 168, 181)
    groups = [
        Group(column="class", name=name, n=197, accuracy=rate(right, 197), ece=number(
            0.03 + 0.004 * place, 0.015, 197))
        for place, (name, right) in enumerate(zip(CLASSES, rights, strict=True))
    ]  # fmt: skip
    groups += [
        Group(column="camera", name=f"{name}, {camera}", n=n, accuracy=rate(round(share * n), n),
              small=n < 30)
        for name, camera, n, share in (
            ("church", "phone", 64, 0.61), ("church", "studio", 133, 0.97),
            ("tench", "phone", 120, 0.8), ("tench", "studio", 12, 0.75),
        )
    ]  # fmt: skip
    return Performance(
        accuracy=rate(sum(rights), 1970),
        groups=tuple(groups),
        worst=groups[10].model_copy(update={"accuracy": Measured(
            value=39 / 64, low=0.45, high=0.77, n=64, method="simultaneous")}),
        gap=Measured(value=0.36, low=0.19, high=0.52, n=197, method="simultaneous"),
        ece=number(0.041, 0.011, 1970),
        confusions=(("springer", "tench", 31), ("church", "garbage truck", 18),
                    ("gas pump", "chain saw", 12)),
    )  # fmt: skip


def make_explanations(beaten=True):
    rows = (("integrated_gradients", 0.182, False, True), ("smooth_grad", 0.205, False, True),
            ("grad_cam", 0.241, False, True), ("gradient", 0.297, False, False),
            ("random", 0.312, True, False), ("centre", 0.288, True, False),
            ("edge", 0.261, True, False))  # fmt: skip
    return Explanations(
        scores=tuple(
            MethodScore(method=name, deletion=number(area, 0.018, 64),
                        insertion=number(0.75 - area, 0.02, 64), control=control,
                        better_than_random=better and beaten)
            for name, area, control, better in rows
        ),
        most_faithful="integrated_gradients" if beaten else "",
        images=64,
    )  # fmt: skip


def make_risk(folder, suspects=9):
    def suspect(place, why):
        name = save(folder, f"risk/images/{why[:3]}-{place}.jpg", draw(500 + place, hue=place))
        return Suspect(id=f"{place:032x}", source=f"validation/{CLASSES[place % 10]}/{place}.jpg",
                       label=CLASSES[place % 10], predicted=CLASSES[(place + 3) % 10],
                       score=0.97 - 0.01 * place, thumbnail=name, why=why)  # fmt: skip

    return Risk(
        methods=("knn", "laplace"),
        rarest=rate(132, 197),
        commonest=rate(188, 197),
        detection={"representation (knn)": number(0.71, 0.03, 1970),
                   "epistemic (laplace)": number(0.83, 0.02, 1970)},
        outliers=tuple(suspect(20 + k, "rare image") for k in range(suspects)),
        label_errors=tuple(suspect(k, "label may be wrong") for k in range(suspects)),
        groups=("church, phone: rarest on average, 0.27 [0.24, 0.29], n = 64",),
    )  # fmt: skip


def make_changes():
    def change(what, kind, before, after, n, better="higher"):
        return Change(what=what, kind=kind, before=rate(before, n), after=rate(after, n),
                      difference=difference(after, n, before, n), better=better)  # fmt: skip

    return (
        change("accuracy", "overall", 1611, 1640, 1970),
        change("share that follows 'patch, lower right'", "cue", 144, 12, 212, "lower"),
        change("accuracy of church images with 'indoor'", "slice", 22, 33, 40),
        change("accuracy of gas pump images with 'text'", "slice", 61, 60, 88),
        change("accuracy of class springer", "group", 150, 122, 197),
        change("accuracy of class tench", "group", 148, 166, 197),
    )


def make_tests(claimed=True):
    found = CueTest(family="window", name="patch, lower right", class_name="tench",
                    excess=difference(144, 212, 2, 212), pull=number(0.59, 0.07, 212), margin=0.08,
                    p=1e-9, p_adjusted=3e-7, claimed=True)  # fmt: skip
    tests = [found] if claimed else []
    for place in range(40):
        tests.append(
            CueTest(family=("frame", "colour", "stamp", "texture")[place % 4],
                    name=("frame", "tint", "stamp, upper left", "fine detail")[place % 4],
                    class_name=CLASSES[place % 10],
                    excess=difference(4 + place % 5, 212, 3, 212), p=0.3 + 0.01 * place,
                    p_adjusted=1.0, claimed=False, detectable=0.12 + 0.002 * place)
        )  # fmt: skip
    return tuple(tests)


def make_stages(failed=False):
    names = ("performance", "concepts", "findings", "cues", "explanations", "risk")
    stages = [
        Stage(name=name, status="done", seconds=3.0 * place**3 + 1.4, peak_mib=410 + 80 * place,
              planned_seconds=2.5 * place**3 + 2)
        for place, name in enumerate(names)
    ]  # fmt: skip
    if failed:
        stages[-1] = Stage(name="risk", status="failed", seconds=2.0,
                           message="MemoryError: cannot allocate 12 GiB")  # fmt: skip
    return tuple(stages)


MANIFEST = {
    "command": "sundog audit runs/cnn photos/ -o audit",
    "created": "2026-05-04T10:11:12+00:00",
    "versions": {"python": "3.11.9", "sundog": "0.1.0", "torch": "2.8.0"},
    "weights": "9f2c" * 8,
    "data": "77ab" * 8,
    "code": "0d1e" * 8,
    "arguments": {"data": "photos/", "model": "runs/cnn"},
    "seeds": {"seed": 0},
    "device": "cpu",
}


def make_summary(folder, **changes):
    """A biased classifier: one cue, three findings, everything measured."""
    patch = make_cue(folder)
    found = (
        make_finding(0),
        make_finding(1, class_name="gas pump", concepts=("text",), direction="helps",
                     present=(84, 88), absent=(65, 109)),
        make_finding(2, class_name="springer", concepts=("dark", "grass"), present=(17, 44),
                     absent=(114, 153), replication=Replication(status="half too small to tell")),
        make_finding(3, class_name="church", concepts=("people",), explained_by=("indoor",)),
    )  # fmt: skip
    values = {
        "title": "Audit of cnn5 on 1,970 photographs",
        "answer": (
            "cnn5 is right on 82 % of 1,970 photographs, but much of it hangs on a stamp in the "
            "lower right corner: it can be trusted only on images that carry the right one.",
            "Moved into images of other classes, the stamp turns 68 % of them into its own class "
            "(control 1 %), and the model's error is higher on church images with 'indoor', gas "
            "pump images without 'text' and springer images with 'dark' + 'grass'.",
            "Train again without the stamp (sundog debias with this audit), collect indoor "
            "churches, and audit the new model on the same images.",
        ),
        "verdict": "bias found",
        "classifier": "cnn5 (runs/cnn)",
        "image_set": "photos/ (validation, 1,970 images, 10 classes)",
        "class_names": CLASSES,
        "facts": {"image size": "128 × 128", "layer": "features.8", "normalisation": "checked"},
        "stages": make_stages(),
        "performance": make_performance(),
        "findings": found,
        "verdicts": {found[0].id: "shortcut"},
        "tested_concepts": {"concepts": 46, "tests": 1840},
        "smallest_detectable": {name: 0.17 + 0.012 * k for k, name in enumerate(CLASSES)},
        "cues": (patch,),
        "cue_tests": make_tests(),
        "cue_notes": ("only components that the images carry can be moved",),
        "explanations": make_explanations(),
        "risk": make_risk(folder),
        "before": {"title": "Audit of cnn5 before the repair", "hash": "1234" * 8},
        "changes": make_changes(),
        "images": make_cards(folder),
        "limits": ("12 images could not be decoded and are left out.",
                   "Tags are those of a tagger, not of people."),
        "duties": {"intended_use": "Sorting holiday photographs; not for people.",
                   "colour_management": "sRGB throughout."},
        "manifest": MANIFEST,
    }  # fmt: skip
    return AuditSummary(**{**values, **changes})


def make_calm(folder, **changes):
    """A classifier of which nothing was found."""
    return make_summary(
        folder,
        **{
            "answer": (
                "cnn5 is right on 82 % of 1,970 photographs.",
                "No cue and no concept was shown to change its error.",
                "Look at the smallest gap that would have been seen before you rely on this.",
            ),
            "verdict": "no bias found",
            "findings": (),
            "verdicts": {},
            "cues": (),
            "cue_tests": make_tests(claimed=False),
            "explanations": make_explanations(beaten=False),
            "before": None,
            "changes": (),
            **changes,
        },
    )


def unknown():
    return Measured.of(Estimate(math.nan, math.nan, math.nan, 0, 0.95, ""))
