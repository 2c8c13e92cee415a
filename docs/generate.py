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

from PIL import Image

import sundog
from sundog.audit.catalog import catalog
from sundog.concepts.photometric_table import TAGS
from sundog.concepts.registry import SORTERS, TAGGERS
from sundog.core.inspection.events import Event
from sundog.core.inspection.feedback import Feedback
from sundog.core.inspection.query import Query
from sundog.core.inspection.results import Results
from sundog.explain.registry import METHODS
from sundog.report.figures import figure_bytes

DOCS = Path(__file__).parent
COMMANDS = (
    *("explain", "faithfulness", "plant", "train", "compare"),
    *("tags", "inspect", "review", "feedback", "results", "demo", "list"),
)
RECORDS = {
    "query": (Query, "what was found and is put before a person: `query.json`"),
    "event": (Event, "one thing that a reviewer did: a line of `feedback/events.jsonl`"),
    "feedback": (Feedback, "what each reviewer says now: `feedback.json`, which may be edited"),
    "results": (Results, "findings joined with verdicts: `results.json`"),
}


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
        for row in table.values():
            build = row.build
            lines += ["", f"### {row.name}", "", f"::: {build.__module__}.{build.__qualname__}"]
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
        "├── tables/                predictions.parquet, concepts.parquet (all that was looked at)",
        "├── cells/                 finished work of an interrupted run, tag scores",
        "└── index.html             the report",
        "```",
        "",
        "A `.sundog` file is a zip archive of all this without `cells/`; `sundog review` and "
        "`sundog results` open either. Files hold their `format` and `version`; feedback holds the "
        "hash of the query that it answers, and is refused for another one.",
        "",
    ]
    for name, (record, text) in RECORDS.items():
        lines += [
            f"## {name}",
            "",
            f"{text[0].upper()}{text[1:]}. [JSON schema]({name}.schema.json).",
        ]
        lines += ["", f"::: {record.__module__}.{record.__qualname__}", ""]
    return "\n".join(lines)


def schema(name: str) -> str:
    """Return the JSON schema of one record."""
    return json.dumps(RECORDS[name][0].model_json_schema(), indent=2, sort_keys=True) + "\n"


def cli_page() -> str:
    """Return the page of the command line: what --help prints."""
    plain = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    lines = ["# Command line", "", "Every command exits with 0, or with 2 and one message.", ""]
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
    """Return the page of the public names."""
    lines = ["# Python", "", "Everything here is imported from `sundog`.", ""]
    for name in sundog.__all__:
        value = getattr(sundog, name)
        lines += [f"::: {value.__module__}.{value.__qualname__}", ""]
    return "\n".join(lines)


PAGES = {
    "reference/methods.md": methods_page,
    "reference/cli.md": cli_page,
    "reference/api.md": api_page,
    "reference/concepts.md": concepts_page,
    "reference/files.md": files_page,
    **{f"reference/{name}.schema.json": partial(schema, name) for name in RECORDS},
}


PICTURES = {
    "The same images, side by side": "same-images.png",
    "Do the maps see it?": "lift.png",
    "Deletion (black fill)": "deletion.png",
    "A real classifier: efficientnet-lite0 on photographs": "photographs.png",
}
"""Section of the demo's page -> the file that holds its last figure."""
WIDTH = 1500


def pictures(folder: Path) -> None:
    """Run the demonstration and keep its figures: all from embedded, freely licensed images."""
    from sundog.audit.practical import run_practical

    run = run_practical(folder, say=print)
    (DOCS / "images").mkdir(exist_ok=True)
    for section in run.content.sections:
        if section.title in PICTURES:
            drawn = io.BytesIO(figure_bytes(section.pictures[-1].source))
            picture = Image.open(drawn).convert("RGB")
            if picture.width > WIDTH:
                height = round(picture.height * WIDTH / picture.width)
                picture = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
            small = picture.quantize(192, dither=Image.Dither.NONE)
            small.save(DOCS / "images" / PICTURES[section.title], optimize=True)


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
