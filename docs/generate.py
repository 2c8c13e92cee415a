"""Write the reference pages from the code, and (with --pictures) the pictures from a demo run.

``python docs/generate.py`` is run by ``make docs``; a test fails if a page is out of date.
"""

import argparse
import inspect
import io
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

import sundog
from sundog.audit.catalog import catalog
from sundog.concepts.photometric_table import TAGS
from sundog.concepts.registry import SORTERS, TAGGERS
from sundog.core.audit.cues import Cues
from sundog.core.audit.summary import AuditSummary
from sundog.core.inspection.events import Event
from sundog.core.inspection.feedback import Feedback
from sundog.core.inspection.query import Query
from sundog.core.inspection.results import Results
from sundog.explain.registry import METHODS
from sundog.models.store import save_classifier
from sundog.report.figures import figure_bytes
from sundog.risk.fit_options import FitOptions
from sundog.risk.registry import METHODS as RISKS

DOCS = Path(__file__).parent
COMMANDS = (
    *("audit", "shortcuts", "check", "doctor"),
    *("explain", "faithfulness", "plant", "train", "compare"),
    *("tags", "inspect", "review", "feedback", "results", "risk", "debias"),
    *("demo", "list"),
)
AUDITS = {
    "audit": (AuditSummary, "everything that one audit found: `audit.json`"),
    "cues": (Cues, "the cues that an audit suspected, what the causal tests said: `cues.json`"),
}
RECORDS = {
    "query": (Query, "what was found and is put before a person: `query.json`"),
    "event": (Event, "one thing that a reviewer did: a line of `feedback/events.jsonl`"),
    "feedback": (Feedback, "what each reviewer says now: `feedback.json`, which may be edited"),
    "results": (Results, "findings joined with verdicts: `results.json`"),
}


DEBIASING = (
    "sundog.debias.adaptive_resampling.AdaptiveResampling",
    "sundog.debias.group_sampling.GroupReweighting",
    "sundog.debias.group_sampling.GroupSubsampling",
    "sundog.debias.group_dro.GroupDRO",
    "sundog.debias.lisa.Lisa",
    "sundog.debias.just_train_twice.Upweighting",
    "sundog.debias.noisy_labels.NoisyRemoval",
    "sundog.debias.cue_augmentation.CueAugmentation",
    "sundog.debias.right_reasons.RightReasons",
    "sundog.debias.dfr.dfr",
    "sundog.debias.afr.afr",
    "sundog.debias.projection.projection",
    "sundog.debias.low_spuriosity.low_spuriosity",
    "sundog.debias.masked_pairs.masked_pairs",
    "sundog.debias.head_fit.HeadFit",
    "sundog.debias.mask_editor.MaskEditor",
    "sundog.debias.component_editor.ComponentEditor",
    "sundog.debias.planted_editor.PlantedEditor",
    "sundog.debias.alignment.measure_alignment",
    "sundog.debias.error_sets.gate_error_set",
    "sundog.debias.selection.select_model",
    "sundog.debias.mixing.mix_weights",
    "sundog.models.feature_table.collect_features",
    "sundog.models.feature_table.table_from_arrays",
)
"""Public names of debiasing, and of what its methods work on."""


def methods_page() -> str:
    """Return the page of the methods: the table, then one section per method."""
    lines = [
        "# Methods",
        "",
        "F is one forward pass, B one backward pass to the input. `sundog list methods` prints the "
        "same table.",
        "",
        "| method | family | map | cost per image | gradients | paper |",
        "|---|---|---|---|---|---|",
    ]
    _, rows = catalog("methods")
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    for row in METHODS.values():
        module = inspect.getmodule(row.function).__name__
        lines += [
            "",
            f"## {row.name}",
            "",
            f"Default convention: {row.convention}.",
            "",
            f"::: {module}.{row.function.__name__}",
        ]
    lines += ["", "# Cues", "", "| cue | what it is | where | parameters |", "|---|---|---|---|"]
    _, rows = catalog("cues")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", "# Metrics", "", "| metric | direction | needs | cost | what it is | paper |"]
    lines += ["|---|---|---|---|---|---|"]
    _, rows = catalog("metrics")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def concepts_page() -> str:
    """Return the page of taggers and sorters."""
    lines = ["# Taggers and sorters", ""]
    for kind in ("taggers", "sorters"):
        columns, rows = catalog(kind)
        lines += [f"## {kind.capitalize()}", "", "| " + " | ".join(columns) + " |"]
        lines += ["|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in r) + " |" for r in rows]
        table = TAGGERS if kind == "taggers" else SORTERS
        shown: dict[str, str] = {}  # a function has one anchor, also if two rows are built by it
        for row in table.values():
            path = _path(row.build)
            same = f"Built as [{shown[path]}](#{shown[path]}) is." if path in shown else ""
            lines += ["", f"### {row.name}", "", same or f"::: {path}"]
            shown.setdefault(path, row.name)
        lines += [""]
    lines += ["## Photometric tags", "", "| tag | score |", "|---|---|"]
    lines += [
        f"| {tag.name} | {tag.formula.replace('|', chr(92) + '|')} |" for tag in TAGS.values()
    ]
    return "\n".join(lines) + "\n"


def files_page() -> str:
    """Return the page of the file formats of an inspection."""
    lines = [
        "# Files of an inspection",
        "",
        "```text",
        "run/",
        "├── manifest.json          what was run, with hashes of data and model",
        "├── query.json             findings and their evidence",
        "├── images/                thumbnails, overlays, pictures of learned tags",
        "├── feedback/events.jsonl  verdicts, one event per line, only ever appended",
        "├── feedback.json          the same, folded: what each reviewer says now",
        "├── results.json           findings joined with verdicts",
        "├── tables/                predictions.parquet, concepts.parquet (all that was looked "
        "at),",
        "│                          slices.parquet (which images each finding compares)",
        "├── cells/                 finished work of an interrupted run, tag scores",
        "└── index.html             the report",
        "```",
        "",
        "A `.sundog` file is a zip archive of all this without `cells/`; `sundog review` and "
        "`sundog results` open either. Files hold their `format` and `version`; feedback holds the "
        "hash of the query that it answers, and is refused for another one.",
        "",
    ]
    lines += _records(RECORDS)
    lines += [
        "# Files of an audit",
        "",
        "```text",
        "run/",
        "├── manifest.json          what was run, with hashes of weights, data, code",
        "├── audit.json             everything that was found; the report reads nothing else",
        "├── audit.md               the report as Markdown, pictures as links",
        "├── index.html             the report as one page, pictures inside",
        "├── inspect/               run folder of the inspection (above)",
        "├── cues/                  run folder of the search for cues: cues.json, masks, pictures",
        "├── faithfulness/, risk/   run folders of these stages",
        "├── stages/NAME.json       time, memory and error of a stage, and what it found",
        "├── tables/                predictions.parquet: a row per image",
        "├── frozen_*.parquet       the images behind findings and cues, for a later audit",
        "├── cells/                 numbers per image, from which an interrupted audit goes on",
        "└── pictures/              thumbnails of rare and suspicious images, maps",
        "```",
        "",
    ]
    lines += _records(AUDITS)
    return "\n".join(lines)


def _records(records: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for name, (record, text) in records.items():
        lines += [
            f"## {name}",
            "",
            f"{text[0].upper()}{text[1:]}. [JSON schema]({name}.schema.json).",
        ]
        lines += ["", f"::: {record.__module__}.{record.__qualname__}", ""]
    return lines


def schema(name: str) -> str:
    """Return the JSON schema of one record."""
    record, _ = {**RECORDS, **AUDITS}[name]
    return json.dumps(record.model_json_schema(), indent=2, sort_keys=True) + "\n"


def cli_page() -> str:
    """Return the page of the command line: what --help prints."""
    plain = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    codes = (
        "Every command exits with 0, or with 2 and one message; `audit` and `doctor` exit with 1 "
        "if a stage or a check failed, `check` with 3 if a gate did."
    )
    lines = ["# Command line", "", codes, ""]
    for command in ((), *((name,) for name in COMMANDS)):
        text = subprocess.run(
            [sys.executable, "-m", "sundog", *command, "--help"],
            env=plain,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        title = " ".join(("sundog", *command))
        body = "\n".join(line.rstrip() for line in text.strip().splitlines())
        lines += [f"## {title}", "", "```text", body, "```", ""]
    return "\n".join(lines)


def api_page() -> str:
    """Return the page of the public names: the package's, then those of the rooms."""
    lines = ["# Python", "", "Everything in this section is imported from `sundog`.", ""]
    shown = [_path(getattr(sundog, name)) for name in sundog.__all__]
    lines += [line for path in shown for line in (f"::: {path}", "")]
    shown += [_risk_path(row) for row in RISKS.values()]  # one anchor per name: theirs is there
    risk = (
        "Names of `sundog.risk`; the methods are described on "
        "[their own page](repairs.md#parameters-of-the-risk-methods)."
    )
    for title, text, paths in (
        ("Risk", risk, _risk_paths()),
        ("Debiasing", "Each is imported from the file that it is named with.", DEBIASING),
    ):
        lines += [f"## {title}", "", text, ""]
        lines += [line for path in paths if path not in shown for line in (f"::: {path}", "")]
    return "\n".join(lines)


def _path(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _risk_path(row: Any) -> str:
    return str(row.home).replace(":", ".")


def _risk_paths() -> list[str]:
    values = [getattr(sundog.risk, name) for name in sundog.risk.__all__]
    return [_path(value) for value in values if hasattr(value, "__qualname__")]


def repairs_page() -> str:
    """Return the page of risk and debiasing methods: two tables, then a section per risk method."""
    lines = [
        "# Risk and debiasing methods",
        "",
        "`sundog list risks`, `sundog list debiasers`.",
        "",
    ]
    for title, kind in (("Risk methods", "risks"), ("Debiasing methods", "debiasers")):
        columns, rows = catalog(kind)
        lines += [f"## {title}", "", "| " + " | ".join(columns) + " |"]
        lines += ["|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in r) + " |" for r in rows]
        lines += [""]
    lines += ["## Parameters of the risk methods", ""]
    for row in RISKS.values():
        lines += [f"### {row.name}", "", f"::: {_risk_path(row)}", ""]
    return "\n".join(lines)


PAGES = {
    "reference/methods.md": methods_page,
    "reference/cli.md": cli_page,
    "reference/api.md": api_page,
    "reference/concepts.md": concepts_page,
    "reference/files.md": files_page,
    "reference/repairs.md": repairs_page,
    **{f"reference/{name}.schema.json": partial(schema, name) for name in (*RECORDS, *AUDITS)},
}


PICTURES = {
    "The same images, side by side": "same-images.png",
    "Do the maps see it?": "lift.png",
    "Deletion (black fill)": "deletion.png",
    "A real classifier: efficientnet-lite0 on photographs": "photographs.png",
}
"""Section of the demo's page -> the file that holds its last figure."""
STUDIES = {
    "risk-digits.png": "Accuracy against representation",
    "faces-latents.png": "What the latent space holds",
    "debias-digits.png": "Before and after",
}
"""File -> section of a study's page whose first figure it holds."""
WIDTH = 1500


def pictures(folder: Path) -> None:
    """Run the demonstration and keep its figures: all from embedded, freely licensed images."""
    from sundog.audit.practical import run_practical

    run = run_practical(folder, say=print)
    for section in run.content.sections:
        if section.title in PICTURES:
            _keep(section.pictures[-1].source, PICTURES[section.title])
    study_pictures(folder)


def study_pictures(folder: Path) -> None:
    """Run the studies of the how-to pages of risk and debiasing, and keep one figure of each."""
    from sundog.data.load import load_image_set
    from sundog.models.train import train_classifier

    digits, digits_held = (load_image_set("digits", split=s) for s in ("train", "validation"))
    faces, faces_held = (load_image_set("faces", split=s) for s in ("train", "validation"))
    cue = sundog.make_cue("patch", class_count=10, strength=0.95)
    sound = train_classifier("small-cnn", digits, epochs=4, size=28, device="cpu").classifier
    cheat = train_classifier("small-cnn", digits, train_cue=cue, epochs=3, size=28, device="cpu")
    lab = train_classifier("lab-cnn", faces, epochs=10, device="cpu").classifier

    def fitted(images: Any, held: Any, classifier: Any, name: str, **given: Any) -> Any:
        side = classifier.input_size[0]
        seen = sundog.make_subject(held, classifier, size=side)
        fit_on = sundog.make_subject(images, classifier, size=side)
        return sundog.score_risks(seen, folder / name, fit_on=fit_on, **given).content

    vae = ("histogram_vae", {"target_class": 1, "latent_dim": 16})
    long = FitOptions(epochs=150, batch_size=16)
    save_classifier(cheat.classifier, folder / "cheat")
    opened = sundog.open_debias("digits", model=str(folder / "cheat"), cue="patch", strength=0.95)
    contents = {
        "risk-digits.png": fitted(digits, digits_held, sound, "risk-digits", methods=["knn"]),
        "faces-latents.png": fitted(
            faces, faces_held, lab, "faces", methods=[vae], train="all", options=long, windows=4
        ),
        "debias-digits.png": sundog.debias_classifier(
            opened.model, opened.data, folder / "debias", settings=sundog.DebiasSettings(epochs=2)
        ).content,
    }
    for name, content in contents.items():
        section = next(s for s in content.sections if s.title.startswith(STUDIES[name]))
        soft = name == "faces-latents.png"  # photographs compress badly
        _keep(section.pictures[0].source, name, **({"width": 640, "colours": 80} if soft else {}))


def _keep(figure: Any, name: str, *, width: int = WIDTH, colours: int = 192) -> None:
    picture = Image.open(io.BytesIO(figure_bytes(figure))).convert("RGB")
    if picture.width > width:
        height = round(picture.height * width / picture.width)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    (DOCS / "images").mkdir(exist_ok=True)
    small = picture.quantize(colours, dither=Image.Dither.NONE)
    small.save(DOCS / "images" / name, optimize=True)


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, help="folder for a demo run; also draws pictures")
    options = parser.parse_args()
    for path, build in PAGES.items():
        (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / path).write_text(build(), encoding="utf-8")
    if options.pictures is not None:
        pictures(options.pictures)


if __name__ == "__main__":
    main()
