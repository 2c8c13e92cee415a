"""Which parameters a person may give each debiasing method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sundog.core.parameters import check_parameters
from sundog.debias.adaptive_resampling import AdaptiveResampling
from sundog.debias.afr import afr
from sundog.debias.cue_augmentation import CueAugmentation
from sundog.debias.dfr import dfr
from sundog.debias.group_dro import GroupDRO
from sundog.debias.group_sampling import GroupReweighting, GroupSubsampling
from sundog.debias.just_train_twice import Upweighting
from sundog.debias.lisa import Lisa
from sundog.debias.low_spuriosity import low_spuriosity
from sundog.debias.noisy_labels import find_noisy_labels
from sundog.debias.projection import projection
from sundog.debias.registry import get_debias_method
from sundog.debias.right_reasons import RightReasons
from sundog.models.training_recipe import TrainingRecipe
from sundog.risk.histogram_vae import HistogramVAE

_GROUPS = ("groups", "group_names")
_REFIT = ("table", "head", "validation", "validation_groups", "progress")
_TAKES: dict[str, tuple[Callable[..., Any], tuple[str, ...], tuple[str, ...]]] = {
    "erm": (TrainingRecipe, (), ()),
    "adaptive_resampling": (
        AdaptiveResampling,
        ("inner", "log_density", "about"),
        ("num_bins", "latent_dim", "queue_size"),
    ),
    "group_reweighting": (GroupReweighting, _GROUPS, ()),
    "group_subsampling": (GroupSubsampling, _GROUPS, ()),
    "class_balance": (GroupReweighting, _GROUPS, ()),
    "group_dro": (GroupDRO, _GROUPS, ()),
    "lisa": (Lisa, ("attribute", "attribute_names"), ()),
    "jtt": (Upweighting, ("images", "name"), ("force",)),
    "noisy_removal": (find_noisy_labels, ("scores", "labels"), ()),
    "cue_augmentation": (CueAugmentation, ("editor",), ("swap", "place", "mode")),
    "right_reasons": (RightReasons, ("masks",), ()),
    "dfr": (dfr, ("table", *_GROUPS, "train", "seed", "progress"), ()),
    "afr": (afr, _REFIT, ("force",)),
    "projection": (projection, ("table", "with_cue", "without_cue", "head"), ()),
    "low_spuriosity": (
        low_spuriosity,
        ("table", "head", "validation", "validation_groups", "spuriosity"),
        (),
    ),
}
"""Method → what takes its parameters, those that the run fills in, those the run reads."""


def check_method_parameters(parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse parameters that a method does not have, before anything is trained.

    Args:
        parameters: method → its parameters.

    Raises:
        UnknownNameError: no such method.
        InputError: a parameter that it does not have, or a value of another type.
    """
    for method, given in parameters.items():
        function, fixed, also = _TAKES[get_debias_method(method).name]
        check_parameters(method, function, given, fixed=fixed, also=also)
        if method == "adaptive_resampling":
            check_parameters(method, HistogramVAE, {k: v for k, v in given.items() if k in also})
