"""What the stages of an audit share: images, classifier, and the numbers of the one pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from sundog.audit.audit_pass import ImagePass, pass_images
from sundog.audit.audit_settings import AuditSettings
from sundog.audit.audit_tags import load_tags, save_tags
from sundog.audit.observed import Observed, observed_of
from sundog.audit.subject import Subject
from sundog.audit.taggers import make_taggers
from sundog.concepts.tag_images import tag_images
from sundog.concepts.tag_scores import TagScores
from sundog.concepts.tagger import Tagger
from sundog.core.run_folder import RunFolder
from sundog.models.feature_table import FeatureTable

CELLS = "cells"
"""Folder of numbers per image, below which a killed run finds them again."""


@dataclass(eq=False)
class AuditWork:
    """An audit while it runs: what is expensive is made once, when it is first asked for.

    Attributes:
        subject: images (remembered once decoded) and classifier.
        training: training images for the risk methods, seen through the same classifier, or None.
        folder: run folder of the audit, open.
        settings: what is looked at, and how.
        before: run folder of an earlier audit to compare with, or None.
        progress: None shows it on a terminal.
        command: how to reproduce.
    """

    subject: Subject
    training: Subject | None
    folder: RunFolder
    settings: AuditSettings
    before: Path | None = None
    progress: bool | None = None
    command: str = ""

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @cached_property
    def table(self) -> FeatureTable:
        """Logits and features of the images; the pass also scores the tags that will be needed.

        A tagger that fails must not cost the predictions: the pass is then made without tags, and
        the stage that needs them meets the same error and tells it.
        """
        taggers: tuple[Tagger, ...] = ()
        if "concepts" in self.settings.wanted() and self._kept_tags is None:
            try:
                taggers = self.taggers[0]
            except Exception:
                taggers = ()
        try:
            return self._pass(taggers)
        except Exception:
            if not taggers:
                raise
            return self._pass(())

    @cached_property
    def taggers(self) -> tuple[tuple[Tagger, ...], tuple[str, ...]]:
        """The taggers, fitted to the images, and notes on those that were left out."""
        made, notes = make_taggers(self.settings.taggers, self.subject)
        fitted = tuple(
            t
            if t.fitted
            else t.fit(self.subject.image_set, seed=self.settings.seed, progress=self.progress)
            for t in made
        )
        return fitted, tuple(notes)

    @cached_property
    def tags(self) -> tuple[TagScores, tuple[str, ...]]:
        """The scores of all tags, and notes; kept in the run folder."""
        if self._kept_tags is not None:
            return self._kept_tags
        fitted, notes = self.taggers
        scores = tag_images(
            self.subject.image_set,
            fitted,
            cache=self._cache,
            batch_size=self.subject.batch_size,
            seed=self.settings.seed,
            progress=self.progress,
        )
        save_tags(scores, self.path / CELLS / "tags", notes=notes)
        return scores, notes

    @cached_property
    def observed(self) -> Observed:
        """Predictions for the images that count: labelled, readable, each once."""
        return observed_of(self.subject, self.table)

    @property
    def image_pass(self) -> ImagePass:
        """Predictions and tags, as an inspection takes them."""
        scores, notes = self.tags
        return ImagePass(table=self.table, scores=scores, notes=notes)

    @cached_property
    def training_table(self) -> FeatureTable | None:
        """Logits and features of the training images; None without any."""
        if self.training is None:
            return None
        return pass_images(
            self.training,
            cache=self._cache,
            progress=self.progress,
            description="Reading training images",
        )

    def counted_rows(self) -> Int64[np.ndarray, "counted"]:
        """Return the rows of ``table`` of the images that count, in the order of ``observed``."""
        place = {index: row for row, index in enumerate(self.table.indices.tolist())}
        return np.array([place[i] for i in self.observed.frame["index"].tolist()], dtype=np.int64)

    @property
    def _cache(self) -> Path:
        return self.path / CELLS / "scores"

    @cached_property
    def _kept_tags(self) -> tuple[TagScores, tuple[str, ...]] | None:
        found = load_tags(self.path / CELLS / "tags")
        if found is None or found[0].ids != self.subject.image_set.ids:
            return None
        return found

    def _pass(self, taggers: tuple[Tagger, ...]) -> FeatureTable:
        return pass_images(self.subject, cache=self._cache, taggers=taggers, progress=self.progress)
