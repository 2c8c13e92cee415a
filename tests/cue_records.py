"""Builds cues as an audit writes them, for the tests of closing the loop."""

from pathlib import Path

import numpy as np
from PIL import Image

from sundog.core.audit.cues import CUES_FILE, CueRecord, Cues, CueTest
from sundog.core.audit.measured import Measured

WINDOW = {
    "family": "window",
    "parameters": {"top": 0.75, "left": 0.75, "tall": 0.25, "wide": 0.25},
}


def measured(value, n=200, half=0.05):
    return Measured(value=value, low=value - half, high=value + half, n=n, method="newcombe")


def cue_record(number=1, *, classes=("three",), component=None, examples=0, **changes):
    """A claimed cue; ``number`` is its id."""
    component = WINDOW if component is None else component
    return CueRecord(
        **{
            "id": f"{number:016x}",
            "family": component["family"],
            "kind": "local",
            "name": f"patch {number}, lower right",
            "classes": classes,
            "flip": measured(0.68),
            "control": measured(0.02, half=0.01),
            "excess": measured(0.66),
            "p": 1e-9,
            "p_adjusted": 4e-7,
            "intact": measured(0.93),
            "swapped": measured(0.41),
            "reliance": measured(0.52),
            "component": component,
            "box": (0.75, 0.75, 0.25, 0.25),
            "mask": f"images/mask-{number}.png" if examples else None,
            "pictures": tuple(
                f"images/{part}-{number}-{at}.png"
                for at in range(examples)
                for part in ("donor", "target", "pasted")
            ),
            "captions": ("a three", "predicted eight", "predicted three") * examples,
            **changes,
        }
    )


def write_cues(folder, *records, tests=40):
    """Write ``cues.json`` and the pictures that it names; return the record."""
    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for record in records:
        for place, name in enumerate((*record.pictures, *([record.mask] if record.mask else []))):
            rng = np.random.default_rng(place)
            pixels = rng.integers(60, 200, (28, 28, 3), dtype=np.uint8)
            pixels[21:, 21:] = (255, 120, 0) if place % 3 != 1 else (0, 90, 200)
            Image.fromarray(pixels).resize((112, 112), 0).save(folder / name)
    cues = Cues(
        smallest=0.1,
        alpha=0.05,
        images=600,
        tests=tests,
        claimed=records,
        tested=tuple(
            CueTest(
                family=r.family,
                name=r.name,
                class_name=r.classes[0],
                excess=r.excess,
                p=r.p,
                p_adjusted=r.p_adjusted,
                claimed=True,
            )
            for r in records
        ),
        notes=("A cue that these images do not carry cannot be found.",),
    )
    cues.write(folder / CUES_FILE)
    return cues
