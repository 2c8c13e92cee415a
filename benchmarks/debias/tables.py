"""Markdown tables of the results."""

from typing import Any

from benchmarks.debias.methods import METHODS
from benchmarks.debias.settings import SETTINGS


def cell(found: dict[str, float] | None, *, percent: bool = True) -> str:
    """Return ``value [low, high]``."""
    if found is None or found["value"] is None:
        return "–"
    if percent:
        return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
    return f"{100 * found['value']:.0f} % [{100 * found['low']:.0f}, {100 * found['high']:.0f}]"


def main_table(found: dict[str, Any]) -> str:
    """Return one row per method, in the order in which they are run."""
    lines = [
        "| method | is told | worst group | share of the gap | aligned / conflict / without "
        "| change without the cue | flip rate | precision | ECE | worst group by seed | fit, s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found["methods"].items():
        method = METHODS[name]
        if "values" not in row:
            lines.append(f"| {method.title} | {method.told} | {refusal(row)} |" + " |" * 8)
            continue
        values = row["values"]
        ways = " / ".join(
            f"{values[way]['value']:.3f}" for way in ("aligned", "conflict", "without")
        )
        seeds = ", ".join(f"{value:.3f}" for value in values["worst"]["seeds"])
        share = None if name in ("erm", "clean") else row.get("recovered_worst")
        change = None if name == "erm" else row["change"]["without"]
        lines.append(
            f"| {method.title} | {method.told} | {cell(values['worst'])} "
            f"| {cell(share, percent=False)} | {ways} | {signed(change)} "
            f"| {values['flip']['value']:.3f} | {values['precision']['value']:.3f} "
            f"| {values['ece']['value']:.3f} | {seeds} | {fit_seconds(row)} |"
        )
    return "\n".join(lines) + "\n"


def refusal(row: dict[str, Any]) -> str:
    """Return why a method has no result."""
    kind = "/".join(sorted(set(row["status"].values())))
    reason = (row["reason"] or "").split("; got ")[-1]
    return f"{kind}: {reason.split('. ')[0][:230]}".replace("|", "/").replace("\n", " ")


def signed(found: dict[str, float] | None) -> str:
    """Return a difference in points."""
    if found is None:
        return "–"
    value, low, high = (100 * found[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def fit_seconds(row: dict[str, Any]) -> str:
    """Return the wall time of a refit on cached features, or processor time of the trainings."""
    fits = [one["fit"] for one in row["seconds"].values() if one and "fit" in one]
    if fits:
        return f"{max(fits):.1f}"
    spent = [sum(one.values()) for one in row["seconds"].values() if one]
    return f"{_mean(spent):.0f} (training)" if spent else "–"


def bar_table(bars: list[dict[str, Any]]) -> str:
    """Return one row per bar."""
    lines = ["| setting | method | bar | measured | held |", "|---|---|---|---|---|"]
    for bar in bars:
        found = "no result" if bar["held"] is None else cell(bar)
        if bar["setting"] == "timing" and bar["held"] is not None:
            found = f"{bar['value']:.1f} s"
        elif bar["held"] is not None and "left as it is" in bar["bar"]:
            found = signed(bar) + " points"
        held = {True: "yes", False: "**no**", None: "–"}[bar["held"]]
        if bar.get("held") is False and bar.get("worse") is False:
            held = "no (better)"
        where = SETTINGS[bar["setting"]].title if bar["setting"] in SETTINGS else "digits, cached"
        lines.append(
            f"| {where} | {METHODS[bar['method']].title} | {bar['bar']} | {found} | {held} |"
        )
    return "\n".join(lines) + "\n"


def resampling_table(gathered: dict[str, dict[str, Any]]) -> str:
    """Return the share of draws of conflicting images, by epoch and by rule, and the base rate."""
    lines = [
        "| setting | rule | base rate | share of draws, mean over epochs | last epoch "
        "| effective size | by other rules, last epoch |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in gathered.items():
        for method in ("adaptive_max", "adaptive_tempered"):
            said = [
                one["recipe"]
                for one in (found["methods"].get(method, {}).get("notes") or {}).values()
                if one and one.get("recipe") and one["recipe"].get("conflicting_mass")
            ]
            if not said:
                continue
            mean = _mean([sum(s["conflicting_mass"]) / len(s["conflicting_mass"]) for s in said])
            last = _mean([s["conflicting_mass"][-1] for s in said])
            others = ", ".join(
                f"{rule} {_mean([s['rules'][rule]['conflicting_mass'] for s in said]):.3f}"
                for rule in said[0]["rules"]
            )
            lines.append(
                f"| {SETTINGS[name].title} | {said[0]['rule']} "
                f"| {_mean([s['base_rate'] for s in said]):.3f} | {mean:.3f} | {last:.3f} "
                f"| {100 * _mean([s['effective_share'] for s in said]):.0f} % | {others} |"
            )
    return "\n".join(lines) + "\n"


def failure_table(rows: list[tuple[str, list[str]]]) -> str:
    """Return one row per method: where it did not do what it is for."""
    lines = ["| method | where it fails here |", "|---|---|"]
    for name, said in rows:
        lines.append(
            f"| {METHODS[name].title} | {'; '.join(said) or 'nowhere in these settings'} |"
        )
    return "\n".join(lines) + "\n"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
