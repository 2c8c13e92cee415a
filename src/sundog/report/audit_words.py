"""Numbers and names of an audit in sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import AuditSummary
from sundog.core.inspection import wording
from sundog.core.inspection.finding import Effect
from sundog.core.inspection.wording import p_text
from sundog.core.statistics import Estimate
from sundog.report import phrases

LONGEST = 120
"""Characters of a name on the page; audit.json holds it whole."""
SPURIOUS = frozenset({"shortcut", "spurious", "separate object", "background"})
"""Verdicts of people that confirm a bias."""
REJECTED = frozenset({"core", "concept absent"})
"""Verdicts of people that reject one: part of the class, or misnamed."""
UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0, 0.95, "")


def clip(text: str, most: int = LONGEST) -> str:
    """Return a name on one line, cut with an ellipsis where it is too long."""
    line = re.sub(r"(?<=\d) %", "\u00a0%", " ".join(text.split()))
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def known(value: Measured | None) -> Estimate:
    """Return a measured number as an estimate; NaN where there is none."""
    return UNKNOWN if value is None else value.estimate()


def share(value: Measured | None) -> str:
    """Write a share with interval and n: ``68 % [61, 74], n = 212``."""
    made = known(value)
    if math.isnan(made.value):
        return "not measured"
    return f"{phrases.share(made)}, n = {made.n:,}"


def points(value: Measured | None) -> str:
    """Write a difference with interval and n: ``+62 points [+55, +68], n = 212``."""
    made = known(value)
    if math.isnan(made.value):
        return "not measured"
    return f"{phrases.points(made, digits=0)}, n = {made.n:,}"


def bare_share(value: Measured | None) -> str:
    """Write a share alone: ``68 %``."""
    return phrases.share(Estimate(known(value).value, math.nan, math.nan, 0, 0.95, ""))


def bare_points(value: float) -> str:
    """Write the size of a difference of shares alone: ``62 points``."""
    count = f"{abs(100 * value):.0f}"
    return f"{count} point{'' if count == '1' else 's'}"


def percent(value: float) -> str:
    """Write a share in [0, 1] alone: ``45 %``."""
    return phrases.share(value)


def gap(effect: Effect) -> Estimate:
    """Return the gap of a finding as an estimate."""
    if effect.gap is None:
        return UNKNOWN
    low = math.nan if effect.low is None else effect.low
    high = math.nan if effect.high is None else effect.high
    count = effect.n_present + effect.n_absent
    return Estimate(effect.gap, low, high, count, effect.level, effect.method)


def size(value: Estimate, *, negative: bool = False) -> str:
    """Write the size of a difference: ``38 points [23, 53]``, whichever side was subtracted.

    Args:
        value: difference of shares.
        negative: which sign is expected; a difference of the other sign keeps a minus.
    """
    turned = (value.value, value.low, value.high)
    if negative:
        turned = (-value.value, -value.high, -value.low)
    middle, low, high = (f"{100 * end:.0f}".replace("-0", "0") for end in turned)
    text = f"{middle} point{'' if middle == '1' else 's'}"
    if math.isfinite(value.low):
        text += f" [{low}, {high}]"
    return text.replace("-", "−")


def images_of(class_name: str) -> str:
    """Write whose images, as :func:`wording.images_of`, a long name cut."""
    return wording.images_of(clip(class_name, 60))


def class_named(class_name: str) -> str:
    """Write the name of a class, as :func:`wording.class_named`, a long name cut."""
    return wording.class_named(clip(class_name, 60))


def quoted(names: Sequence[str], *, most: int = 4) -> str:
    """Write names in quotes: ``'a', 'b' and 'c'``; more than ``most`` are counted."""
    return phrases.joined([f"'{clip(name, 60)}'" for name in names], most=most)


def listed(names: Sequence[str], *, most: int = 4) -> str:
    """Write names without quotes: ``a, b and c``."""
    return phrases.joined([clip(name, 60) for name in names], most=most)


def adjusted(p: float | None) -> str:
    """Write a corrected p-value: ``corrected p < 0.001``."""
    return "not tested" if p is None else f"corrected {p_text(p)}"


def dismissed(summary: AuditSummary, key: str) -> bool:
    """Whether people said of a finding or cue, in this audit or an earlier one, that it is none."""
    return summary.verdicts.get(key) in REJECTED or key in summary.judged_before


def people(summary: AuditSummary, key: str) -> str:
    """Write what people say of a finding or cue, here or in an earlier audit."""
    verdict = summary.verdicts.get(key)
    if (not verdict or verdict == "unreviewed") and key in summary.judged_before:
        return "judged in an earlier audit: no bias"
    return decided(verdict)


def decided(verdict: str | None) -> str:
    """Write what people say of a finding or cue."""
    if not verdict or verdict == "unreviewed":
        return "nobody has judged it yet"
    words = {
        "split": "people disagree",
        "not sure": "people are not sure",
        "core": "people say: part of the class",
        "concept absent": "people say: not what its name says",
    }
    return words.get(verdict, f"people say: {clip(verdict, 40)}")


def remarks(*texts: str | None) -> list[str]:
    """Return the texts that are there, as sentences."""
    return [sentence(clip(text, 600)) for text in texts if text]


def sentence(text: str) -> str:
    """Return the text with a capital and a full stop."""
    clean = text.strip()
    if not clean:
        return ""
    return clean[:1].upper() + clean[1:] + ("" if clean[-1] in ".!?…" else ".")
