"""One debiasing method on one run's data: which recipe is trained, or which head is fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64

from sundog.audit.debias_data import DebiasData, Part
from sundog.core.errors import InputError
from sundog.debias.adaptive_resampling import AdaptiveResampling
from sundog.debias.afr import afr
from sundog.debias.cue_augmentation import CueAugmentation
from sundog.debias.cue_editor import CueEditor
from sundog.debias.dfr import dfr
from sundog.debias.group_dro import GroupDRO
from sundog.debias.group_sampling import GroupReweighting, GroupSubsampling
from sundog.debias.groups import Groups
from sundog.debias.head_fit import HeadFit
from sundog.debias.just_train_twice import Upweighting, error_set
from sundog.debias.lisa import Lisa
from sundog.debias.low_spuriosity import low_spuriosity
from sundog.debias.mask_editor import MaskEditor
from sundog.debias.masked_pairs import masked_pairs
from sundog.debias.noisy_labels import NoisyRemoval, find_noisy_labels
from sundog.debias.projection import projection
from sundog.debias.right_reasons import RightReasons
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable, collect_features
from sundog.models.head import read_head
from sundog.models.training_recipe import TrainingRecipe
from sundog.risk.histogram_vae import HistogramVAE
from sundog.risk.label_errors import label_error_scores
from sundog.risk.vae_recipe import HistogramVAETraining

HELD_OUT_FITS = ("dfr", "afr", "low_spuriosity")
"""Heads that are fitted or tuned on the validation images: their answers there are cross-fitted."""


@dataclass
class Workbench:
    """What the methods of one seed share: the model before, its features, computed once.

    Attributes:
        data: the three parts.
        before: the model that is mended.
        seed: of every random choice.
        parameters: method → its parameters, as typed.
        cache: folder of what methods keep between a kill and a resumption, or None.
        progress: show progress; None = on a terminal.
        held: ``bool[validation images]``, which of them the methods may see; None: all.
    """

    data: DebiasData
    before: Classifier
    seed: int
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cache: Path | None = None
    progress: bool | None = None
    held: Bool[np.ndarray, "images"] | None = None
    _tables: dict[str, FeatureTable] = field(default_factory=dict)

    def features(self, name: str) -> FeatureTable:
        """Return the features of a part under the model before, of the images that may be seen."""
        if name not in self._tables:
            part: Part = getattr(self.data, name)
            self._tables[name] = collect_features(self.before, part.images, progress=self.progress)
        table = self._tables[name]
        if name == "validation" and self.held is not None:
            return table.rows(self.held[table.indices.numpy()])
        return table

    def seeing(self, held: Bool[np.ndarray, "images"]) -> Workbench:
        """Return the same bench with fewer validation images; features are shared."""
        return replace(self, held=held)

    def groups(self, name: str) -> Groups:
        """Return the groups of a part.

        Raises:
            InputError: there are none.
        """
        part: Part = getattr(self.data, name)
        if part.groups is None:
            raise InputError(
                f"Groups of the {name} images",
                expected="known",
                got="none",
                hint="Name a metadata column with --group-column.",
            )
        return part.groups

    def given(self, method: str) -> dict[str, Any]:
        """Return the parameters of a method."""
        return dict(self.parameters.get(method, {}))


def training_recipe(method: str, bench: Workbench) -> TrainingRecipe:
    """Return what is trained for a method of kind ``training`` or ``data``."""
    return _RECIPES[method](bench)


def fitted_head(method: str, bench: Workbench) -> HeadFit:
    """Return the new last layer of a method of kind ``head``."""
    return _HEADS[method](bench)


def _group_reweighting(bench: Workbench) -> TrainingRecipe:
    groups = bench.groups("train")
    return GroupReweighting(
        groups.ids, group_names=groups.names, **bench.given("group_reweighting")
    )


def _group_subsampling(bench: Workbench) -> TrainingRecipe:
    groups = bench.groups("train")
    given = {"equal_steps": True, **bench.given("group_subsampling")}
    return GroupSubsampling(groups.ids, group_names=groups.names, **given)


def _class_balance(bench: Workbench) -> TrainingRecipe:
    return GroupReweighting(None, **bench.given("class_balance"))


def _group_dro(bench: Workbench) -> TrainingRecipe:
    groups = bench.groups("train")
    return GroupDRO(groups.ids, group_names=groups.names, **bench.given("group_dro"))


def _lisa(bench: Workbench) -> TrainingRecipe:
    attribute = bench.data.train.attribute
    if attribute is None:
        bench.groups("train")  # says what is missing
    return Lisa(
        attribute if attribute is not None else [],
        attribute_names=bench.data.attribute_names,
        **bench.given("lisa"),
    )


def _jtt(bench: Workbench) -> TrainingRecipe:
    given = bench.given("jtt")
    given.pop("force", None)
    return Upweighting(training_errors(bench), **{"factor": 20.0, **given}, name="jtt")


def training_errors(bench: Workbench) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which training images the model before gets wrong; unreadable ones are not in it."""
    table = bench.features("train")
    wrong = error_set(table.logits.argmax(dim=1).numpy(), table.labels.numpy())
    found = np.zeros(len(bench.data.train), dtype=bool)
    found[table.indices.numpy()] = wrong
    return found


def _noisy_removal(bench: Workbench) -> TrainingRecipe:
    table = bench.features("train")
    judged = label_error_scores(table, seed=bench.seed, progress=bench.progress)
    every = np.full(len(bench.data.train), np.nan)
    every[table.indices.numpy()] = judged.score
    found = find_noisy_labels(every, bench.data.train.labels, **bench.given("noisy_removal"))
    return NoisyRemoval(found.kept)


def _cue_augmentation(bench: Workbench) -> TrainingRecipe:
    """Paste (``swap=paste``), recolour (``swap=recolour``) or paint over (``mode=remove``)."""
    part, given = bench.data.train, bench.given("cue_augmentation")
    if part.editor is None:
        raise _without("masks")
    editor: CueEditor = part.editor
    edits = {name: given.pop(name) for name in ("swap", "place") if name in given}
    if edits and not isinstance(editor, MaskEditor):
        raise InputError(
            f"cue_augmentation:{next(iter(edits))}",
            expected="given for a cue that is known by masks",
            got=f"one that is {part.editor.about}",
        )
    if edits and isinstance(editor, MaskEditor):
        editor = editor.with_edits(**edits)
    if "mode" in given:
        given["modes"] = (given.pop("mode"),)
    return CueAugmentation(editor, **given)


def _right_reasons(bench: Workbench) -> TrainingRecipe:
    masks = bench.data.train.masks
    if masks is None:
        raise _without("masks")
    return RightReasons(masks, **bench.given("right_reasons"))


def _adaptive_resampling(bench: Workbench) -> TrainingRecipe:
    given = bench.given("adaptive_resampling")
    ours = {k: given.pop(k) for k in ("num_bins", "latent_dim", "queue_size") if k in given}
    vae = HistogramVAE(**ours)
    inner = HistogramVAETraining(vae)
    return AdaptiveResampling(inner, inner.log_density, **given)


def _dfr(bench: Workbench) -> HeadFit:
    table, groups = bench.features("validation"), bench.groups("validation")
    ids, names = _filled(groups.ids[table.indices.numpy()], groups.names)
    fit = dfr(
        table,
        ids,
        group_names=names,
        train=bench.features("train"),
        seed=bench.seed,
        progress=bench.progress,
        **bench.given("dfr"),
    )
    empty = [name for name in groups.names if name not in names]
    if not empty:
        return fit
    said = f"Not balanced, for want of validation images: {_few(empty)}."
    return replace(fit, warnings=(*fit.warnings, said))


def _few(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _filled(
    ids: Int64[np.ndarray, "images"], names: Sequence[str]
) -> tuple[Int64[np.ndarray, "images"], list[str]]:
    """Leave out groups without images: the others are balanced, and the page lists the empty."""
    present = np.unique(ids[ids >= 0])
    place = np.full(len(names) + 1, -1, dtype=np.int64)
    place[present] = np.arange(len(present))
    return place[ids], [names[i] for i in present.tolist()]


def _afr(bench: Workbench) -> HeadFit:
    given = bench.given("afr")
    given.pop("force", None)
    table = bench.features("validation")
    half = np.arange(len(table)) % 2 == 0
    groups = bench.data.validation.groups
    chosen = table.rows(~half)
    return afr(
        table.rows(half),
        read_head(bench.before),
        validation=chosen,
        validation_groups=None if groups is None else groups.ids[chosen.indices.numpy()],
        progress=bench.progress,
        **given,
    )


def _projection(bench: Workbench) -> HeadFit:
    """Refit on features of training images with swapped cues, which mends what is left over."""
    editor = bench.data.train.editor
    if editor is None:
        raise _without("pairs")
    pairs = masked_pairs(
        bench.before,
        bench.data.train.images,
        editor,
        limit=None,
        seed=bench.seed,
        progress=bench.progress,
    )
    table = bench.features("train")
    clean = ~torch.isin(table.indices, pairs.with_cue.indices)  # they have no cue to swap
    parts = [pairs.with_cue, table.rows(clean)] if bool(clean.any()) else [pairs.with_cue]
    return projection(
        FeatureTable.joined(parts),
        pairs.with_cue,
        pairs.without_cue,
        head=read_head(bench.before),
        **bench.given("projection"),
    )


def _low_spuriosity(bench: Workbench) -> HeadFit:
    """Rank the images of each class by how far the cue's direction is in their features."""
    editor = bench.data.train.editor
    if editor is None:
        raise _without("rankings")
    pairs = masked_pairs(
        bench.before, bench.data.train.images, editor, shown="own", seed=bench.seed,
        progress=bench.progress,
    )  # fmt: skip
    table, held = bench.features("train"), bench.features("validation")
    shift = (pairs.with_cue.features - pairs.without_cue.features).double()
    labels = pairs.with_cue.labels.numpy()
    scores = np.full(len(table), np.nan)
    for label in np.unique(table.labels.numpy()):
        rows = table.labels.numpy() == label
        mine = shift[labels == label]
        direction = (mine if len(mine) else shift).mean(dim=0)
        scores[rows] = (table.features[rows].double() @ direction).numpy()
    groups = bench.data.validation.groups
    return low_spuriosity(
        table,
        scores,
        read_head(bench.before),
        validation=held,
        validation_groups=None if groups is None else groups.ids[held.indices.numpy()],
        **bench.given("low_spuriosity"),
    )


def _without(need: str) -> InputError:
    return InputError(
        "The cue",
        expected="known by a mask for each training image",
        got="none",
        hint=f"Give a manifest with a column mask_path, for the {need} that the method needs.",
    )


_RECIPES: dict[str, Callable[[Workbench], TrainingRecipe]] = {
    "erm": lambda _bench: TrainingRecipe(),
    "adaptive_resampling": _adaptive_resampling,
    "group_reweighting": _group_reweighting,
    "group_subsampling": _group_subsampling,
    "class_balance": _class_balance,
    "group_dro": _group_dro,
    "lisa": _lisa,
    "jtt": _jtt,
    "noisy_removal": _noisy_removal,
    "cue_augmentation": _cue_augmentation,
    "right_reasons": _right_reasons,
}
_HEADS: dict[str, Callable[[Workbench], HeadFit]] = {
    "dfr": _dfr,
    "afr": _afr,
    "projection": _projection,
    "low_spuriosity": _low_spuriosity,
}
