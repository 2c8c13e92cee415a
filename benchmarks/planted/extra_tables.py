"""Tables of rare groups, wrong labels and attribution methods."""

from typing import Any

from benchmarks.planted.tables import NONE, ranged, short, table


def group_table(rows: list[dict[str, Any]]) -> str:
    """Return a row per rare group."""
    body = [
        [
            row["id"],
            f"{row['rare']['accuracy']:.2f} ({row['rare']['n']})",
            f"{row['rest_of_class']['accuracy']:.2f} ({row['rest_of_class']['n']})",
            "yes" if row["harmed"] else "no",
            _rank(row["rank_of_all"]),
            *(_rank(row["peers"][name]) for name in ("sliceline", "divexplorer", "mixture")),
        ]
        for row in rows
    ]
    head = ["setting", "accuracy of the group", "rest of its class", "10 points lower"]
    return table([*head, "rank: Sundog", "SliceLine", "DivExplorer", "mixture"], body)


def label_table(rows: list[dict[str, Any]]) -> str:
    """Return a row per setting with wrong labels."""
    body = [
        [
            row["id"],
            f"{row['wrong']} of {row['images']:,}",
            short(row["left_out"]["precision_at_10"]),
            short(row["left_out"]["precision_at_wrong"]),
            ranged(row["left_out"]["auroc"], 3),
            short(row["margin"]["precision_at_10"]),
            short(row["margin"]["precision_at_wrong"]),
        ]
        for row in rows
    ]
    head = ["setting", "wrong labels", "precision@10", "precision@wrong", "AUROC"]
    return table([*head, "margin of the network: @10", "@wrong"], body)


def map_table(rows: list[dict[str, Any]]) -> str:
    """Return a row per method: each metric with the cue and without it."""
    metrics = [("deletion", "with"), ("deletion", "without"), ("insertion", "with")]
    metrics += [("insertion", "without"), ("pointing_game", "with"), ("mass_lift", "with")]
    methods = sorted({(bool(row["control"]), row["method"]) for row in rows})
    body = []
    for control, method in methods:
        cells = [f"*{method}*" if control else method]
        for metric, shown in metrics:
            found = [
                row["mean"]
                for row in rows
                if (row["method"], row["metric"], row["shown"]) == (method, metric, shown)
            ]
            cells.append(short(found[0]) if found else NONE)
        body.append(cells)
    head = ["method", "deletion ↓, cue", "no cue", "insertion ↑, cue", "no cue"]
    return table([*head, "pointing ↑", "mass lift ↑"], body)


def _rank(rank: int | None) -> str:
    return NONE if rank is None else str(rank)
