"""The page of the demonstration: one headline from three runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sundog.report.page import Page, Section


def demo_page(
    *,
    compared: Page,
    scored: Page,
    photos: Page | None,
    facts: Mapping[str, object],
    command: str,
) -> Page:
    """Join the pages of the three runs: the comparison's headline and every section that shows.

    Args:
        compared: the comparison of the two models.
        scored: the faithfulness run.
        photos: the explanation of an ImageNet classifier, or None.
        facts: images and classifier.
        command: how to reproduce.
    """
    sections = [
        Section(
            title="What was done",
            text=[
                "A coloured square was planted in handwritten digits; its colour gives the digit "
                "away. Two small networks of the same kind were trained, one on digits with the "
                "square, one on digits without. Nothing below was told which is which: every "
                "validation digit was shown to both without the square, with its own class's, and "
                "with another class's."
            ],
            facts=facts,
        ),
        *_titled(compared, ("What the cue does", "The same images", "Do the maps see it")),
        Section(title="Which explanation to trust", text=[scored.headline, scored.lead]),
        *_titled(scored, ("Deletion", "Insertion")),
    ]
    if photos is not None:
        shown = _titled(photos, ("Maps and deletion curves",))
        sections += [
            replace(part, title="A real classifier: efficientnet-lite0 on photographs")
            for part in shown
        ]
    sections += [
        Section(
            title="Limits",
            text=[
                "The test is about this cue on these images: a model that is clear of it may rely "
                "on another. Deletion images are unlike anything the networks were trained on."
            ],
        ),
        Section(title="How to reproduce", code=command),
    ]
    return Page(
        title="Which of two models cheats, and how it shows",
        headline=compared.headline,
        tone=compared.tone,
        lead=compared.lead,
        sections=sections,
    )


def _titled(page: Page, starts: tuple[str, ...]) -> list[Section]:
    return [section for section in page.sections if section.title.startswith(starts)]
