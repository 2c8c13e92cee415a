"""A check as JUnit XML, as GitLab, Jenkins and GitHub read it."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

from sundog.core.audit.gate import CheckReport, Gate, written

SUITES = {
    "stages": "stages finished",
    "limits": "limits",
    "baseline": "no worse than the baseline",
}
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


def junit_xml(report: CheckReport) -> bytes:
    """Return the check as UTF-8 XML: one testsuite per kind of gate, one testcase per gate.

    A failed gate holds ``<failure>``; one that was not judged ``<skipped>``; an inconclusive one
    ``<skipped>``, or ``<failure>`` if the check is strict. Hashes of what was checked are
    properties of each suite. The same report gives the same bytes: no time, no host.
    """
    root = Xml.Element("testsuites", {"name": _clean(f"sundog check: {report.title}")})
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for kind, title in SUITES.items():
        gates = [gate for gate in report.gates if gate.suite == kind]
        if not gates:
            continue
        suite = Xml.SubElement(root, "testsuite", {"name": f"sundog {title}"})
        counts = dict.fromkeys(totals, 0)
        _properties(suite, report)
        taken: dict[str, int] = {}
        for gate in gates:
            outcome = _testcase(suite, gate, report.strict, taken)
            counts["tests"] += 1
            if outcome:
                counts[outcome] += 1
        for name, value in counts.items():
            suite.set(name, str(value))
            totals[name] += value
        suite.set("time", "0")
    for name, value in totals.items():
        if name != "skipped":
            root.set(name, str(value))
    Xml.indent(root)
    text = Xml.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _properties(suite: Xml.Element, report: CheckReport) -> None:
    holder = Xml.SubElement(suite, "properties")
    known = {
        "audit": report.audit,
        "baseline": report.baseline,
        "strict": str(report.strict).lower(),
        **{f"limit.{name}": f"{value:g}" for name, value in report.limits.items()},
        **report.facts,
    }
    for name, value in known.items():
        if value:
            Xml.SubElement(holder, "property", {"name": _clean(name), "value": _clean(value)})


def _testcase(suite: Xml.Element, gate: Gate, strict: bool, taken: dict[str, int]) -> str:
    """Add one testcase and return what it counts as."""
    name = _clean(gate.name)
    taken[name] = taken.get(name, 0) + 1
    if taken[name] > 1:  # two cases of one name would overwrite each other
        name = f"{name} ({taken[name]})"
    case = Xml.SubElement(
        suite, "testcase", {"classname": f"sundog.check.{gate.suite}", "name": name, "time": "0"}
    )
    message = _clean(gate.message)
    outcome = ""
    if gate.decision == "fail" or (gate.decision == "inconclusive" and strict):
        outcome = "failures"
        made = Xml.SubElement(case, "failure", {"message": message, "type": gate.decision})
        made.text = message
    elif gate.decision in ("skipped", "inconclusive"):
        outcome = "skipped"
        Xml.SubElement(case, "skipped", {"message": f"{gate.decision}: {message}"})
    lines = [message]
    if gate.measured is not None:
        lines.append(f"measured: {written(gate.measured, digits=6)}")
    if gate.limit is not None:
        lines.append(f"limit: {gate.bound} {gate.limit:g}")
    lines.append(f"decision: {gate.decision}")
    Xml.SubElement(case, "system-out").text = _clean("\n".join(lines))
    return outcome


def _clean(text: str) -> str:
    """Replace what XML cannot hold; ElementTree escapes the rest."""
    return _FORBIDDEN.sub("\ufffd", text)
