"""Combinations of concepts that change a classifier's performance, as an object."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sundog.audit.analysis import as_list, check_classes_list, choose_path, open_analysis
from sundog.audit.evidence import check_overlay
from sundog.audit.inspect_run import look
from sundog.audit.observed import check_classes, choose_classes, observe
from sundog.audit.query_files import keep_for_review, with_evidence, write_query
from sundog.audit.results_run import write_results
from sundog.audit.search_settings import SearchSettings
from sundog.audit.searches import search_biases
from sundog.audit.taggers import make_taggers
from sundog.bias.complex_adjust import Adjustment
from sundog.bias.minimality import Minimality, check_criteria
from sundog.concepts.tagger import Tagger
from sundog.core.errors import InputError, UnknownNameError
from sundog.core.run_folder import RunFolder
from sundog.data.transforms import Resize

MODES = ("exhaustive",)


class AnalyzeComplexBias:
    """Finds combinations of tags that go with a significant change in performance.

    Args:
        model: a classifier, a network, or a name or path that ``get_model`` takes.
        dataset: an image set, a torch dataset, or a source that ``load_image_set`` takes.
        tagger: a tagger, a name such as ``photometric``, or a list of them.
        fabric: ``lightning_fabric.Fabric``; the model is moved to its device. None: stays.
        num_workers: threads that decode images for the tagger.
        classes_list: names of the classes to look at; None = all.
        batch_size: images per batch.
        metric: ``accuracy`` or ``confidence`` (probability of the label).
        size: side in pixels; None = the classifier's own, or 224.
        resize: pad, crop or stretch.
        seed: of permutations and samples.
        cache: folder of tag scores that several analyses share; None = the run's own.
        progress: None shows it on a terminal.
    """

    def __init__(
        self,
        model: Any,
        dataset: Any,
        tagger: Tagger | str | Sequence[Tagger | str],
        fabric: Any = None,
        num_workers: int = 4,
        classes_list: Sequence[str] | None = None,
        batch_size: int = 32,
        metric: str = "accuracy",
        *,
        size: int | None = None,
        resize: Resize = "pad",
        seed: int = 0,
        cache: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
    ) -> None:
        self.subject, self.metric = open_analysis(
            model,
            dataset,
            fabric=fabric,
            batch_size=batch_size,
            metric=metric,
            size=size,
            resize=resize,
        )
        self.classes_list = check_classes_list(classes_list)
        self.taggers, self._notes = make_taggers(as_list(tagger), self.subject)
        self.num_workers = num_workers
        self.seed = seed
        self.cache = None if cache is None else Path(cache)
        self.progress = progress
        self.path: Path | None = None

    def extract_complex_biases(
        self,
        mode: str = "exhaustive",
        max_tags_in_combo: int = 3,
        min_pop_thresh: int = 10,
        acc_diff_thresh: float = 0.1,
        sig_thresh: float = 0.05,
        minimal_criteria: Sequence[float] | None = None,
        display_k: int = 5,
        save_results: bool = True,
        save_to_path: str | os.PathLike[str] | None = None,
        *,
        adjustment: Adjustment = "westfall_young",
        minimality: Minimality | None = None,
        permutations: int = 1000,
        overlay: str | None = "auto",
        replicate: bool = True,
    ) -> dict[str, Any]:
        """Search every combination of tags, inside each class, in both directions.

        Args:
            mode: ``exhaustive``: every combination is counted and tested.
            max_tags_in_combo: most tags in a combination.
            min_pop_thresh: fewest images that carry the whole combination.
            acc_diff_thresh: smallest |difference| between the images with it and the others.
            sig_thresh: ceiling on the p-value after ``adjustment`` for the whole search.
            minimal_criteria: ``minimal_criteria[i - 1]`` is by how much the metric of a combination
                of i tags must lie below (or above) that of each combination with one tag less,
                which must itself be minimal. None: ``minimality`` decides.
            display_k: images per strip of the page and of each random sample.
            save_results: whether to write everything into ``results.sundog`` too.
            save_to_path: run folder; None = ``complex-bias/HASH``.
            adjustment: ``westfall_young`` bounds the probability of any false finding,
                ``benjamini_hochberg`` the share of false ones; ``holm``; ``none`` reports plain
                p-values and says so.
            minimality: ``noise`` (default): a tag must add something that chance does not explain;
                ``recursive`` (default with ``minimal_criteria``), ``prime`` (one level, drops
                only), ``none``.
            permutations: of Westfall-Young.
            overlay: attribution method of the overlays, ``auto`` or ``none``.
            replicate: whether findings are looked for again on a random half.

        Returns:
            The results as JSON values (see ``sundog.core.inspection.results.Results``), with
            ``path``, the run folder, which ``sundog review`` takes.

        Raises:
            UnknownNameError: another mode, adjustment or minimality.
            InputError: thresholds out of range, ``minimal_criteria`` too short.
        """
        if mode not in MODES:
            raise UnknownNameError("mode", mode, MODES)
        for name, value, fits in (
            ("max_tags_in_combo", max_tags_in_combo, max_tags_in_combo >= 1),
            ("min_pop_thresh", min_pop_thresh, min_pop_thresh >= 1),
            ("display_k", display_k, display_k >= 1),
            ("acc_diff_thresh", acc_diff_thresh, 0 <= acc_diff_thresh <= 1),
            ("sig_thresh", sig_thresh, 0 < sig_thresh < 1),
        ):
            if not fits:
                wanted = ">= 1" if isinstance(value, int) else "between 0 and 1"
                raise InputError(name, expected=wanted, got=str(value))
        check_classes(self.subject, self.classes_list)
        check_overlay(overlay)
        rule: Minimality = minimality or ("noise" if minimal_criteria is None else "recursive")
        settings = SearchSettings(
            metric=self.metric,
            alpha=sig_thresh,
            adjustment=adjustment,
            max_tags=max_tags_in_combo,
            min_pop=min_pop_thresh,
            min_gap=acc_diff_thresh,
            minimality=rule,
            minimal_criteria=None if minimal_criteria is None else tuple(minimal_criteria),
            across=False,
            replicate=replicate,
            permutations=permutations,
            top_k=display_k,
            seed=self.seed,
        )
        check_criteria(rule, minimal_criteria, max_tags=max_tags_in_combo)
        asked = {**settings.to_dict(), "taggers": [tagger.name for tagger in self.taggers]}
        self.path = choose_path(save_to_path, kind="complex", subject=self.subject, asked=asked)
        with RunFolder.open(
            self.path,
            kind="complex bias",
            arguments={"taggers": asked["taggers"], "classes": _names(self.classes_list)},
            seeds={"seed": self.seed},
            **self.subject.fingerprints(),
        ) as folder:
            observed = observe(self.subject, folder, progress=self.progress)
            looked = look(
                self.subject,
                observed,
                taggers=self.taggers,
                sorter=None,
                concepts=None,
                classes=choose_classes(observed, self.classes_list),
                settings=settings,
                cache=self.cache or folder.path / "cells" / "scores",
                workers=self.num_workers,
                progress=self.progress,
            )
            searched = search_biases(
                observed.classes(looked.classes),
                looked.tags,
                settings,
                hidden=False,
                progress=self.progress,
            )
            write_query(
                folder,
                subject=self.subject,
                observed=observed,
                looked=looked,
                searched=searched,
                findings=with_evidence(
                    keep_for_review(searched.findings, 0),
                    observed=observed,
                    looked=looked,
                    top_k=display_k,
                    sample=display_k,
                    seed=self.seed,
                ),
                settings=settings,
                notes=self._notes,
                overlay=overlay,
                progress=self.progress,
            )
            done = write_results(
                folder.path,
                display_k=display_k,
                archive=folder.path / "results.sundog" if save_results else None,
            )
            folder.finish()
        return {"path": str(done.path), **done.results.to_json()}


def _names(classes: Sequence[str] | None) -> list[str] | None:
    return None if classes is None else list(classes)
