"""The doctor's checks of the images: files, kinds of pixels, sizes, duplicates, splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sundog.audit.doctor_data import OpenedData, Sample, files_of
from sundog.audit.doctor_result import Check, Status
from sundog.core.statistics import Estimate, wilson_interval
from sundog.data.content import conflicting_groups, identical_groups
from sundog.data.headers import Header, read_headers
from sundog.data.image_set import ImageSet
from sundog.data.resize_loss import resize_loss
from sundog.data.transforms import Resize

HEADERS = 2000
"""Files whose headers are read."""
GRAVE = 0.01
"""Share of the images from which broken, contradictory or leaked images make a run wrong."""
TINY = 16
"""Pixels: a side below this shows nothing."""
HUGE = 40_000_000
"""Pixels of an image that takes seconds to decode."""
ENLARGED = 4.0
"""Images are enlarged by more than this: the network sees blur."""
MUCH = 0.4
"""Share of an image (or of its frame) whose loss is much."""
EMPTY_FOLDER = "the class folder holds no image"
"""Why :func:`sundog.data.folder.open_folder` lists a folder as left out."""
SHOWN = 3


def image_checks(
    opened: OpenedData, sample: Sample, *, size: tuple[int, int], resize: Resize
) -> list[Check]:
    """Return the checks of the images themselves.

    Args:
        opened: all images.
        sample: decoded ones.
        size: (height, width) they are brought to.
        resize: pad, crop or stretch.
    """
    images = opened.image_set
    if images is None:
        return []
    headers = [h for h in read_headers(files_of(images, opened.root, limit=HEADERS)) if h]
    return [
        _readable(images, sample),
        *_headers(headers),
        _sizes(sample, headers),
        _resizing(sample, size, resize),
        _one_colour(sample),
        *_duplicates(images),
        _leaks(opened.parts),
    ]


def _readable(images: ImageSet, sample: Sample) -> Check:
    # A class folder without images is a matter of the labels.
    skipped = [s for s in images.skipped if not s.reason.startswith(EMPTY_FOLDER)]
    lost = [f"{s.source}: {s.reason}" for s in skipped]
    total = len(images) + len(skipped) - len(sample.broken)
    if not lost:
        return Check("images: readable", "ok", f"all of {total}", "all")
    return Check(
        "images: readable",
        "fail" if len(lost) >= 0.1 * total else "warn",
        f"{len(lost)} of {total} left out: {_some(lost)}",
        "all",
        "remove or repair these files",
    )


def _headers(headers: Sequence[Header]) -> list[Check]:
    if not headers:
        text = "no image files: decoded images were given"
        return [Check(f"images: {what}", "skipped", text) for what in ("pixels", "rotation")]
    n = len(headers)
    kinds = Counter(header.kind for header in headers)
    text = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    odd = [kind for kind in ("alpha", "16 bit", "cmyk", "float", "other") if kinds[kind]]
    mixed = kinds["grey"] and kinds["grey"] < n
    pixels = Check(
        "images: pixels",
        "warn" if odd or mixed else "ok",
        f"{text} (n = {n})",
        "one kind, colour or grey",
        _kind_advice(odd, bool(mixed)),
    )
    turned = sum(header.turned for header in headers)
    share = wilson_interval(turned, n)
    rotation = Check(
        "images: rotation",
        "warn" if turned else "ok",
        f"{turned} of {n} files are turned by their EXIF entry" + _interval(share, turned),
        "none",
        "Sundog turns them upright, many training programs do not: turn the files themselves"
        if turned
        else "",
        {"turned": share},
    )
    return [pixels, rotation]


def _kind_advice(odd: Sequence[str], mixed: bool) -> str:
    advice = {
        "alpha": "transparency is shown on white, and training may have dropped it",
        "16 bit": "16 bits are scaled to 8, and training may have cut them off at 255",
        "cmyk": "CMYK is converted without a colour profile",
        "float": "float images must lie in [0, 1]",
        "other": "unusual pixels: convert them to RGB",
    }
    parts = [advice[kind] for kind in odd]
    if mixed:
        parts.append("grey beside colour can be a cue: look whether a class has more of them")
    return "; ".join(parts)


def _sizes(sample: Sample, headers: Sequence[Header]) -> Check:
    sides = [(h.height, h.width) for h in headers] or list(sample.shapes)
    heights, widths = np.array(sides).T
    tiny = int((np.minimum(heights, widths) < TINY).sum())
    huge = int((heights.astype(np.int64) * widths > HUGE).sum())
    small = f"{heights.min()} x {widths.min()}"
    large = f"{heights.max()} x {widths.max()}"
    text = f"{small} px" if small == large else f"from {small} to {large} px (height x width)"
    if tiny:
        text += f", {tiny} with a side below {TINY}"
    if huge:
        text += f", {huge} above {HUGE // 1_000_000} megapixels"
    return Check(
        "images: sizes",
        "warn" if tiny or huge else "ok",
        f"{text} (n = {len(sides)})",
        f"sides of {TINY} px and more",
        "remove thumbnails; shrink what takes seconds to decode" if tiny or huge else "",
    )


def _resizing(sample: Sample, size: tuple[int, int], resize: Resize) -> Check:
    losses = [resize_loss(h, w, size, resize=resize) for h, w in sample.shapes]
    lost = np.array([one.lost for one in losses])
    scale = float(np.median([one.scale for one in losses]))
    much = wilson_interval(int((lost > MUCH).sum()), len(lost))
    what = {"pad": "black frame", "crop": "cut away", "stretch": "squeezed"}[resize]
    text = f"to {size[0]} x {size[1]} px, {resize}: median {np.median(lost):.0%} {what}"
    if much.value:
        text += f"; more than {MUCH:.0%} in {_percent(much)}"
    advice = []
    if much.value > 0.05:
        advice.append(
            "--resize crop, if the network was trained so"
            if resize != "crop"
            else "--resize pad, if the network was trained so"
        )
    if scale > ENLARGED:
        text += f"; enlarged {scale:.1f} times"
        advice.append("a network for small images, or images of full size")
    return Check(
        "images: resizing",
        "warn" if advice else "ok",
        text,
        f"at most {MUCH:.0%} lost, enlarged at most {ENLARGED:.0f} times",
        "; ".join(advice),
        {"lose much": much},
    )


def _one_colour(sample: Sample) -> Check:
    count, n = len(sample.one_colour), len(sample.rows)
    share = wilson_interval(count, n)
    return Check(
        "images: one colour",
        "ok" if not count else "warn",
        f"{count} of {n} show a single colour"
        + _interval(share, count)
        + (f": {_some(sample.one_colour)}" if count else ""),
        "none",
        "remove them: broken downloads and placeholders look so" if count else "",
        {"one colour": share},
    )


def _duplicates(images: ImageSet) -> list[Check]:
    groups = identical_groups(images.ids)
    extra = sum(len(group) - 1 for group in groups)
    conflicts = conflicting_groups(images.ids, images.labels)
    wrong = sum(len(group) for group in conflicts)
    n = len(images)
    return [
        Check(
            "images: duplicates",
            "warn" if extra else "ok",
            f"{extra} of {n} repeat another" + (f": {_groups(images, groups)}" if extra else ""),
            "none",
            "remove the copies: they count twice, and intervals come out too narrow"
            if extra
            else "",
        ),
        Check(
            "labels: contradictions",
            _grave(wrong, n),
            f"{wrong} of {n} are the same image with different labels"
            + (f": {_groups(images, conflicts)}" if wrong else ""),
            "none",
            "one of the labels is wrong: look and correct" if wrong else "",
        ),
    ]


def _leaks(parts: dict[str, ImageSet]) -> Check:
    if len(parts) < 2:
        return Check("images: leakage", "skipped", "one part, nothing to leak into")
    training = set(parts["train"].ids) if "train" in parts else None
    rows = []
    for name, part in parts.items():
        if name == "train" and training is not None:
            continue
        others = training
        if others is None:
            others = {i for other, p in parts.items() if other != name for i in p.ids}
        rows.append((name, [s for i, s in zip(part.ids, part.sources, strict=True) if i in others]))
    leaked = sum(len(sources) for _, sources in rows)
    n = sum(len(parts[name]) for name, _ in rows)
    against = "train" if training is not None else "another part"
    text = "; ".join(f"{len(s)} of {len(parts[name])} of {name}" for name, s in rows)
    first = _some([source for _, sources in rows for source in sources])
    return Check(
        "images: leakage",
        _grave(leaked, n),
        f"{text} are also in {against}" + (f": {first}" if leaked else ""),
        "no image in two parts",
        "remove them from one part: accuracy on them says nothing" if leaked else "",
    )


def _grave(count: int, total: int) -> Status:
    if count == 0:
        return "ok"
    return "fail" if count >= GRAVE * total else "warn"


def _groups(images: ImageSet, groups: Sequence[Sequence[int]]) -> str:
    return _some([" = ".join(images.sources[row] for row in group[:3]) for group in groups])


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more


def _percent(share: Estimate) -> str:
    return f"{share.value:.0%} of the images [{share.low:.0%}, {share.high:.0%}] (n = {share.n})"


def _interval(share: Estimate, count: int) -> str:
    return f" ({share.value:.1%} [{share.low:.1%}, {share.high:.1%}])" if count else ""
