"""Numbers as Markdown tables."""

from collections.abc import Sequence
from typing import Any

NONE = "–"
Number = dict[str, Any] | None


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def ranged(number: Number, digits: int = 2) -> str:
    """Return ``value [low, high] (n)``."""
    if number is None or number["value"] is None:
        return NONE
    value = f"{number['value']:.{digits}f}"
    if number["low"] is None:
        return f"{value} ({number['n']})"
    return f"{value} [{number['low']:.{digits}f}, {number['high']:.{digits}f}] ({number['n']})"


def short(number: Number | float, digits: int = 2) -> str:
    """Return the value alone."""
    value = number["value"] if isinstance(number, dict) else number
    return NONE if value is None else f"{value:.{digits}f}"


def verdict(held: bool | None) -> str:
    """Return pass, miss or nothing."""
    return NONE if held is None else "pass" if held else "**miss**"


def bar_table(judged: dict[str, list[dict[str, Any]]]) -> str:
    """Return the bars, a column per draw."""
    draws = list(judged)
    rows = []
    for lines in zip(*judged.values(), strict=True):
        first = lines[0]
        cells = [first["title"], f"{'≥' if first['at_least'] else '≤'} {first['bar']:g}"]
        for line in lines:
            cells += [ranged(line["number"]), verdict(line["held"])]
        rows.append(cells)
    head = ["bar", "limit"]
    for draw in draws:
        head += [draw, ""]
    return table(head, rows)


SPLIT = (
    ("identified", "identified"),
    ("right claim", "identified_rightly"),
    ("pairs in order", "pairs_in_order"),
    ("false alarms", "false_alarms_with_cue"),
    ("reliance", "reliance"),
    ("pointing", "pointing"),
    ("IoU", "iou"),
    ("right kind", "right_kind"),
    ("recovered", "recovered"),
)


def split_table(name: str, rows: dict[str, dict[str, Any]]) -> str:
    """Return one row per value of a column."""
    body = [
        [value, f"{row['relying']} of {row['biased']}", *(short(row[key]) for _, key in SPLIT)]
        for value, row in rows.items()
    ]
    return table([name, "rely on it", *(title for title, _ in SPLIT)], body)


OVERALL = (
    ("identified: any claim on a classifier that relies on the cue", "identified"),
    ("identified by a claim of the right kind at the right place", "identified_rightly"),
    ("more suspicious than its twin", "pairs_in_order"),
    ("AUROC of the suspicion, relying against controls", "auroc"),
    ("false alarms on all controls", "false_alarms"),
    ("... on images that carry the cue", "false_alarms_with_cue"),
    ("... on clean images", "false_alarms_clean"),
    ("unbiased classifiers with any false alarm", "false_alarms_per_model"),
    ("claims on biased classifiers that do not rely on the cue", "claims_without_reliance"),
    ("reliance: accuracy aligned - conflicting", "reliance"),
    ("pointing (localised cues, nothing found counts 0)", "pointing"),
    ("IoU with the cue's region", "iou"),
    ("strongest claim of the right kind (part or whole)", "right_kind"),
    ("share of the classes named", "classes"),
    ("gap recovered where the cue conflicts", "recovered"),
    ("... where there is no cue", "recovered_without"),
    ("... where the cue conflicts, nothing found counts 0", "recovered_all"),
    ("images through the classifier per search, thousands", "images_through_classifier"),
    ("processor seconds per search", "seconds_search"),
)


def overall_table(summaries: dict[str, dict[str, Any]]) -> str:
    """Return every number of the finder, a column per draw."""
    rows = []
    for title, key in OVERALL:
        cells = [title]
        for summary in summaries.values():
            number = summary[key]
            if key == "images_through_classifier" and number is not None:
                number = {
                    k: v / 1000 if k != "n" and v is not None else v for k, v in number.items()
                }
            cells.append(ranged(number))
        rows.append(cells)
    return table(["", *summaries], rows)


def peer_table(found: dict[str, Any]) -> str:
    """Return finder, map peers and list peers in one table; – where one cannot answer."""
    finder, maps, lists = found["finder"], found["maps"], found["lists"]
    rows = [_finds("Sundog, moved components", finder, finder["seconds_search"])]
    for name, title in (
        ("concentration", "heat-map concentration (top 0.5 %)"),
        ("spray", "SpRAy, fixed thresholds"),
    ):
        rows.append(_finds(title, maps[name], maps[name]["seconds"]))
    for name, title in (
        ("sundog", "Sundog, concepts"),
        ("sliceline", "SliceLine on the same tags"),
        ("divexplorer", "DivExplorer on the same tags"),
        ("mixture", "Domino-style mixture"),
    ):
        row = lists[name]
        cells = [ranged(row["found"]), short(row["median_rank"], 1)]
        cells += [short(row[key]) for key in ("precision_at_10", "fdp", "seconds")]
        rows.append([title, NONE, NONE, NONE, *cells])
    head = ["", "identified", "false alarms", "pairs in order", "true concept found"]
    return table([*head, "median rank", "precision@10", "untrue", "s"], rows)


def _finds(title: str, row: dict[str, Any], seconds: Number) -> list[str]:
    """Return the cells of one that says whether a classifier is biased, and lists nothing."""
    answers = [ranged(row.get(key)) for key in ("identified", "false_alarms", "pairs_in_order")]
    return [title, *answers, NONE, NONE, NONE, NONE, short(seconds)]
