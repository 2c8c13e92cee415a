"""The query: what was found and is put before a person, with everything needed to judge it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from sundog.core.inspection.finding import Finding, Metric
from sundog.core.inspection.record import FileRecord, Record

QUERY_FILE = "query.json"


class ImageCard(Record):
    """An image as the page shows it.

    Attributes:
        source: where it came from, for people.
        class_name: its label.
        predicted: what the classifier said.
        correct: whether that is the label.
        confidence: probability of the label.
        thumbnail: file in the run folder, e.g. ``images/ab12.jpg``.
        overlay: thumbnail with an attribution map, or None.
    """

    source: str
    class_name: str
    predicted: str
    correct: bool
    confidence: float
    thumbnail: str
    overlay: str | None = None


class ClassSummary(Record):
    """One class: how much was looked at, and what could have been seen.

    Attributes:
        name: of the class.
        n: images.
        accuracy: share right, with ``low`` and ``high`` (95 % Wilson); None without images.
        concepts: concepts looked at.
        tests: tests made (combinations included).
        findings: significant ones.
        smallest_detectable: smallest |gap| of a concept carried by half the class that the most
            sensitive of the searches would have shown with 80 % power, at alpha divided by its
            tests and by the number of searches; None if none would have.
        note: why nothing was tested, if so.
    """

    name: str
    n: int
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    concepts: int = 0
    tests: int = 0
    findings: int = 0
    smallest_detectable: float | None = None
    note: str = ""


class Query(FileRecord):
    """All findings of one inspection; its hash is what feedback refers to.

    Attributes:
        format: always ``sundog-query``.
        version: of this layout.
        title: shown on top.
        classifier: its name.
        image_set: its name.
        metric: of the gaps.
        alpha: bound of the adjusted p-values of significant findings.
        taggers: names of taggers and sorters.
        fingerprints: hashes of data, model, and each tagger.
        parameters: of the search.
        classes: one per class.
        findings: cues first, then significant ones, by adjusted p and lower bound of the gap.
        images: id -> card.
        previews: concept -> picture file in the run folder, for concepts without a telling name.
        notes: limits and what was left out.
    """

    format: Literal["sundog-query"] = "sundog-query"
    version: Literal[1] = 1
    title: str
    classifier: str
    image_set: str
    metric: Metric
    alpha: float = 0.05
    taggers: tuple[str, ...] = ()
    fingerprints: dict[str, str] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    classes: tuple[ClassSummary, ...] = ()
    findings: tuple[Finding, ...] = ()
    images: dict[str, ImageCard] = Field(default_factory=dict)
    previews: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Query:
        ids = [finding.id for finding in self.findings]
        if len(set(ids)) != len(ids):
            raise ValueError("two findings have one id")
        unknown = {e.image for f in self.findings for e in f.evidence} - set(self.images)
        if unknown:
            raise ValueError(f"evidence names {len(unknown)} images that have no card")
        files = [c.thumbnail for c in self.images.values()]
        files += [c.overlay for c in self.images.values() if c.overlay is not None]
        files += self.cue_pictures()
        for file in (*files, *self.previews.values()):
            if file.startswith("/") or "\\" in file or ".." in file.split("/") or ":" in file:
                raise ValueError("a picture's path leaves the run folder")
        return self

    def cue_pictures(self) -> tuple[str, ...]:
        """Return the files of the cues' evidence."""
        return tuple(f for one in self.findings if one.cue is not None for f in one.cue.files())

    def finding(self, finding_id: str) -> Finding | None:
        """Return the finding of this id, or None."""
        return next((f for f in self.findings if f.id == finding_id), None)
