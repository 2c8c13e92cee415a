"""Commands that the report of an audit hands to its reader, ready to be run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sundog.core.audit.summary import AuditSummary

PLACES = {"data": ("data", "source", "images"), "model": ("model", "classifier", "network")}
"""Names under which the arguments of a manifest may hold the two."""
RECIPE = ("checkpoint", "classes", "class_names", "size", "network_output")
"""Options without which the same classifier would not be opened again."""


@dataclass(frozen=True)
class Commands:
    """The commands of one audit.

    Attributes:
        debias: mend the classifier with what the audit found; on the training images if the
            manifest names them, so that the audited ones stay unseen.
        review: judge the findings.
        again: audit again, to be compared with this audit.
        repeat: repeat this audit.
    """

    debias: str
    review: str
    again: str
    repeat: str


def commands_of(summary: AuditSummary, *, folder: Path, command: str = "") -> Commands:
    """Return the commands; what the manifest does not know is left in capitals.

    Args:
        summary: of the audit; its manifest may hold the ``arguments`` of the command.
        folder: run folder, as the reader would type it.
        command: the command that made the audit, if it is known.
    """
    arguments = summary.manifest.get("arguments")
    given: Mapping[str, Any] = arguments if isinstance(arguments, Mapping) else {}
    data = _first(given, PLACES["data"]) or "DATA"
    training = _first(given, ("training",))
    told = f" --training {training}" if training else ""
    model = _first(given, PLACES["model"]) or "MODEL"
    run = shlex.quote(str(folder))
    options = "".join(
        f" --{name.replace('_', '-')} {shlex.quote(str(given[name]))}"
        for name in RECIPE
        if isinstance(given.get(name), (str, int)) and not isinstance(given.get(name), bool)
    )
    stored = summary.manifest.get("command")
    made = command or (stored if isinstance(stored, str) else "")
    return Commands(
        debias=f"sundog debias {training or data} --model {model}{options} --from-audit {run}",
        review=f"sundog review {run}",
        again=f"sundog audit MENDED_MODEL {data}{options}{told} -o NEW_RUN --before {run}",
        repeat=made or f"sundog audit --from {run} -o NEW_RUN",
    )


def _first(given: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next(
        (shlex.quote(given[name]) for name in names if isinstance(given.get(name), str)), ""
    )
