"""Every method that is compared: what it is told, and how it is run."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.debias.head_methods import (
    afr_head,
    dfr_head,
    low_spuriosity_head,
    projected_head,
    projected_head_mask,
    projected_head_swapped,
)
from benchmarks.debias.watched import histogram_resampling
from benchmarks.debias.work import Outcome, Work
from sundog.core.errors import InputError
from sundog.debias.alignment import measure_alignment
from sundog.debias.cue_augmentation import CueAugmentation
from sundog.debias.error_sets import gate_error_set
from sundog.debias.group_dro import GroupDRO
from sundog.debias.group_sampling import GroupReweighting, GroupSubsampling
from sundog.debias.groups import Groups
from sundog.debias.just_train_twice import error_set, just_train_twice
from sundog.debias.lisa import Lisa
from sundog.debias.mask_editor import MaskEditor
from sundog.debias.noisy_labels import NoisyRemoval, find_noisy_labels, label_error_score
from sundog.debias.planted_editor import PlantedEditor
from sundog.debias.right_reasons import RightReasons
from sundog.models.classifier import Classifier
from sundog.models.feature_table import collect_features
from sundog.models.prepared import PreparedImages


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        name: in the results.
        title: in the tables.
        told: what it is told about the cue.
        run: makes the classifier; a clear error is recorded as a refusal.
    """

    name: str
    title: str
    told: str
    run: Callable[[Work], Outcome]


def clean(work: Work) -> Outcome:
    """Train plainly on images without the cue: what could be reached."""
    return work.train("clean", work.pictures.train)


def erm(work: Work) -> Outcome:
    """Train plainly on the images with the cue: what is to be mended."""
    return work.train("erm", work.pictures.biased)


def cue_augmentation(work: Work) -> Outcome:
    """Show another cue in every step, on the true image."""
    editor = PlantedEditor(work.pictures.clean_prepared, work.pictures.cue)
    return work.train("cue_augmentation", work.pictures.biased, CueAugmentation(editor))


def cue_augmentation_mask(work: Work) -> Outcome:
    """Know where the cue is and nothing else: paint it over, paste that of another image."""
    editor = MaskEditor(work.pictures.biased_prepared, work.pictures.masks)
    return work.train("cue_augmentation_mask", work.pictures.biased, CueAugmentation(editor))


def right_reasons(work: Work) -> Outcome:
    """Penalise the gradient in the mask."""
    recipe = RightReasons(work.pictures.masks, strength=100.0)
    return work.train("right_reasons", work.pictures.biased, recipe)


def group_reweighting(work: Work) -> Outcome:
    """Draw class x (aligned, conflict) equally often."""
    groups = _reweightable(work)
    recipe = GroupReweighting(groups.ids, group_names=groups.names)
    return work.train("group_reweighting", work.pictures.biased, recipe)


def group_subsampling(work: Work) -> Outcome:
    """Cut all groups to the size of the smallest; the steps are as many as in plain training."""
    groups = _reweightable(work)
    filled = groups.counts[groups.counts > 0]
    epochs = round(work.epochs * len(work.labels) / (filled.min() * len(filled)))
    recipe = GroupSubsampling(groups.ids, group_names=groups.names)
    return work.train("group_subsampling", work.pictures.biased, recipe, epochs=epochs)


def group_dro(work: Work) -> Outcome:
    """Follow the group with the highest loss."""
    groups = _reweightable(work)
    recipe = GroupDRO(groups.ids, group_names=groups.names)
    return work.train("group_dro", work.pictures.biased, recipe)


def lisa(work: Work) -> Outcome:
    """Mix images across cue values and across labels."""
    _reweightable(work)
    return work.train("lisa", work.pictures.biased, Lisa(work.pictures.shown))


def jtt(work: Work) -> Outcome:
    """Draw the errors of a first, short training more often, if the gate lets them pass."""
    return _twice(work, force=False)


def jtt_forced(work: Work) -> Outcome:
    """Do so whatever the gate says."""
    return _twice(work, force=True)


def adaptive_max(work: Work) -> Outcome:
    """Resample by the inverse density, the rule of the practical."""
    recipe = histogram_resampling(work.pictures.conflicting, rule="max")
    return work.train("adaptive_max", work.pictures.biased, recipe)


def adaptive_tempered(work: Work) -> Outcome:
    """Resample by the inverse density, at half the effective size."""
    recipe = histogram_resampling(work.pictures.conflicting, rule="tempered")
    return work.train("adaptive_tempered", work.pictures.biased, recipe)


def noisy_removal(work: Work) -> Outcome:
    """Drop the 5 % of images whose label a network trained on the other half doubts most."""
    labels = work.labels
    probabilities = np.zeros((len(labels), work.pictures.classes))
    half = np.random.default_rng(0).permutation(len(labels)) % 2 == 0
    seconds: dict[str, float] = {}
    for number, part in enumerate((half, ~half)):
        images = work.pictures.biased.subset(np.flatnonzero(part))
        first = work.train(f"half_{number}", images, salt=1000 + number)
        rest = PreparedImages(work.pictures.biased.subset(np.flatnonzero(~part)), size=None)
        logits = collect_features(first.classifier, rest, batch_size=256, progress=False).logits
        probabilities[~part] = torch.softmax(logits.double(), dim=1).numpy()
        seconds[f"half_{number}"] = first.seconds.get("train", 0.0)
    found = find_noisy_labels(label_error_score(probabilities, labels), labels, share=0.05)
    made = work.train("noisy_removal", work.pictures.biased, NoisyRemoval(found.kept))
    conflicting = work.pictures.conflicting
    notes = {
        "base_rate": float(conflicting.mean()),
        "conflicting_among_dropped": float(conflicting[found.dropped].mean()),
        "warnings": list(found.warnings),
    }
    return Outcome(made.classifier, {**seconds, **made.seconds}, {**made.notes, **notes})


def _reweightable(work: Work) -> Groups:
    """Return the training groups; refuse where every image carries the cue of its class."""
    shown = work.pictures.shown
    alignment = measure_alignment(work.labels, shown, class_names=work.pictures.train.class_names)
    if not alignment.reweighting_possible:
        raise InputError("Reweighting", expected="possible", got=alignment.advice)
    return work.train_groups


def _twice(work: Work, *, force: bool) -> Outcome:
    """Train on half of the budget, judge its errors on audit images, train again."""
    pictures = work.pictures
    first = work.train("jtt_first", pictures.biased, epochs=work.epochs // 2)
    errors = _errors(first.classifier, pictures.biased_prepared, work.labels)
    judged = _errors(first.classifier, pictures.audit_balanced, pictures.audit.labels)
    against = pictures.audit_shown != pictures.audit.labels
    rate = float(pictures.conflicting.mean())
    gate = gate_error_set(judged, against, base_rate=rate if 0 < rate < 1 else None, force=force)
    truth = float(pictures.conflicting[errors].mean()) if errors.any() else None
    notes = {"gate": gate.to_dict(), "true_precision": truth, "base_rate": rate}
    recipe = just_train_twice(errors, gate=gate)
    made = work.train("jtt", pictures.biased, recipe)
    seconds = {"first": first.seconds.get("train", 0.0), **made.seconds}
    return Outcome(made.classifier, seconds, {**made.notes, **notes})


def _errors(classifier: Classifier, images: PreparedImages, labels: np.ndarray) -> np.ndarray:
    logits = collect_features(classifier, images, batch_size=256, progress=False).logits
    return error_set(logits.argmax(dim=1).numpy(), labels)


METHODS: dict[str, Method] = {
    row.name: row
    for row in (
        Method("clean", "trained without the cue", "–", clean),
        Method("erm", "plain training (ERM)", "nothing", erm),
        Method("projection", "projection + head refit", "pairs", projected_head),
        Method("projection_mask", "projection by mask + head refit", "masks", projected_head_mask),
        Method(
            "projection_swapped",
            "projection by mask, refit on swapped cues",
            "masks",
            projected_head_swapped,
        ),
        Method("dfr", "DFR", "audit images with groups", dfr_head(None)),
        Method("dfr_20", "DFR, 20 per group", "20 audit images per group", dfr_head(20)),
        Method("afr", "AFR", "groups of audit images, to choose", afr_head),
        Method("low_spuriosity", "low-spuriosity head", "a perfect ranking", low_spuriosity_head),
        Method("cue_augmentation", "cue augmentation", "the cue", cue_augmentation),
        Method("cue_augmentation_mask", "cue augmentation by mask", "masks", cue_augmentation_mask),
        Method("right_reasons", "right reasons", "masks", right_reasons),
        Method("group_reweighting", "group reweighting", "groups", group_reweighting),
        Method("group_subsampling", "group subsampling", "groups", group_subsampling),
        Method("group_dro", "Group DRO", "groups", group_dro),
        Method("lisa", "LISA", "groups", lisa),
        Method("jtt", "JTT", "nothing (a gate)", jtt),
        Method("jtt_forced", "JTT, forced", "nothing", jtt_forced),
        Method("adaptive_max", "density resampling, max rule", "nothing", adaptive_max),
        Method("adaptive_tempered", "density resampling, tempered", "nothing", adaptive_tempered),
        Method("noisy_removal", "noisiest labels removed", "nothing", noisy_removal),
    )
}
