"""Sundog: find, explain, confirm and repair bias in image classifiers.

The names below are loaded when they are first used, so that ``import sundog`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sundog.audit.analyze_bias import AnalyzeBias as AnalyzeBias
    from sundog.audit.analyze_complex_bias import AnalyzeComplexBias as AnalyzeComplexBias
    from sundog.audit.audit_changes import before_and_after as before_and_after
    from sundog.audit.audit_run import audit_classifier as audit_classifier
    from sundog.audit.audit_settings import AuditSettings as AuditSettings
    from sundog.audit.audit_verdicts import read_verdicts as read_verdicts
    from sundog.audit.check_run import check_audit as check_audit
    from sundog.audit.compare_audits import compare_audits as compare_audits
    from sundog.audit.compare_run import compare_runs as compare_runs
    from sundog.audit.compare_unknown import compare_unknown as compare_unknown
    from sundog.audit.debias_data import make_debias_data as make_debias_data
    from sundog.audit.debias_from_audit import what_to_suppress as what_to_suppress
    from sundog.audit.debias_open import open_debias as open_debias
    from sundog.audit.debias_run import debias_classifier as debias_classifier
    from sundog.audit.debias_settings import DebiasSettings as DebiasSettings
    from sundog.audit.doctor import diagnose as diagnose
    from sundog.audit.explain_run import explain_images as explain_images
    from sundog.audit.faithfulness_run import score_explanations as score_explanations
    from sundog.audit.inspect_run import inspect_images as inspect_images
    from sundog.audit.results_run import write_results as write_results
    from sundog.audit.risk_run import score_risks as score_risks
    from sundog.audit.search_settings import SearchSettings as SearchSettings
    from sundog.audit.shortcut_run import find_cues as find_cues
    from sundog.audit.subject import make_subject as make_subject
    from sundog.audit.subject import open_subject as open_subject
    from sundog.audit.tags_run import tag_image_set as tag_image_set
    from sundog.bias.compare import compare_models as compare_models
    from sundog.bias.complex import find_slices as find_slices
    from sundog.bias.shortcut import find_shortcuts as find_shortcuts
    from sundog.concepts.registry import get_sorter as get_sorter
    from sundog.concepts.registry import get_tagger as get_tagger
    from sundog.concepts.tag_images import tag_images as tag_images
    from sundog.concepts.tagger import Tagger as Tagger
    from sundog.core.errors import SundogError as SundogError
    from sundog.data.arrays import from_arrays as from_arrays
    from sundog.data.get_dataset import get_dataset as get_dataset
    from sundog.data.huggingface import from_hf_dataset as from_hf_dataset
    from sundog.data.image_set import ImageSet as ImageSet
    from sundog.data.load import load_image_set as load_image_set
    from sundog.data.planted_set import write_planted as write_planted
    from sundog.data.planting import make_cue as make_cue
    from sundog.data.torch_dataset import from_torch_dataset as from_torch_dataset
    from sundog.debias.groups import make_groups as make_groups
    from sundog.debias.sampling_weights import sampling_weights as sampling_weights
    from sundog.explain.append_saliency import AppendSaliency as AppendSaliency
    from sundog.explain.attribute import attribute as attribute
    from sundog.explain.attribute import attribute_many as attribute_many
    from sundog.explain.attribution import Attribution as Attribution
    from sundog.explain.saliency_map import SaliencyMap as SaliencyMap
    from sundog.faithfulness.deletion import deletion as deletion
    from sundog.faithfulness.insertion import insertion as insertion
    from sundog.faithfulness.run import evaluate_faithfulness as evaluate_faithfulness
    from sundog.models.classifier import Classifier as Classifier
    from sundog.models.group_comparison import compare_group_scores as compare_group_scores
    from sundog.models.group_scores import group_scores as group_scores
    from sundog.models.store import save_classifier as save_classifier
    from sundog.models.train import train_classifier as train_classifier
    from sundog.models.training_recipe import TrainingRecipe as TrainingRecipe
    from sundog.models.zoo import get_model as get_model
    from sundog.risk.accuracy_vs_risk import accuracy_vs_risk as accuracy_vs_risk
    from sundog.risk.ensemble_training import train_ensemble as train_ensemble
    from sundog.risk.metrics_table import metrics_table as metrics_table
    from sundog.risk.output import RiskOutput as RiskOutput
    from sundog.risk.store import load_risk_model as load_risk_model
    from sundog.risk.store import save_risk_model as save_risk_model

_HOMES = {
    "AnalyzeBias": "audit.analyze_bias",
    "AnalyzeComplexBias": "audit.analyze_complex_bias",
    "AppendSaliency": "explain.append_saliency",
    "AuditSettings": "audit.audit_settings",
    "Attribution": "explain.attribution",
    "Classifier": "models.classifier",
    "DebiasSettings": "audit.debias_settings",
    "ImageSet": "data.image_set",
    "RiskOutput": "risk.output",
    "SaliencyMap": "explain.saliency_map",
    "SearchSettings": "audit.search_settings",
    "SundogError": "core.errors",
    "Tagger": "concepts.tagger",
    "TrainingRecipe": "models.training_recipe",
    "accuracy_vs_risk": "risk.accuracy_vs_risk",
    "attribute": "explain.attribute",
    "attribute_many": "explain.attribute",
    "audit_classifier": "audit.audit_run",
    "before_and_after": "audit.audit_changes",
    "compare_group_scores": "models.group_comparison",
    "check_audit": "audit.check_run",
    "compare_audits": "audit.compare_audits",
    "compare_models": "bias.compare",
    "compare_runs": "audit.compare_run",
    "compare_unknown": "audit.compare_unknown",
    "debias_classifier": "audit.debias_run",
    "deletion": "faithfulness.deletion",
    "diagnose": "audit.doctor",
    "evaluate_faithfulness": "faithfulness.run",
    "explain_images": "audit.explain_run",
    "find_cues": "audit.shortcut_run",
    "find_shortcuts": "bias.shortcut",
    "find_slices": "bias.complex",
    "from_arrays": "data.arrays",
    "from_hf_dataset": "data.huggingface",
    "from_torch_dataset": "data.torch_dataset",
    "get_dataset": "data.get_dataset",
    "get_model": "models.zoo",
    "get_sorter": "concepts.registry",
    "get_tagger": "concepts.registry",
    "group_scores": "models.group_scores",
    "insertion": "faithfulness.insertion",
    "inspect_images": "audit.inspect_run",
    "load_image_set": "data.load",
    "load_risk_model": "risk.store",
    "make_cue": "data.planting",
    "make_debias_data": "audit.debias_data",
    "make_groups": "debias.groups",
    "make_subject": "audit.subject",
    "metrics_table": "risk.metrics_table",
    "open_debias": "audit.debias_open",
    "open_subject": "audit.subject",
    "read_verdicts": "audit.audit_verdicts",
    "sampling_weights": "debias.sampling_weights",
    "save_classifier": "models.store",
    "save_risk_model": "risk.store",
    "score_explanations": "audit.faithfulness_run",
    "score_risks": "audit.risk_run",
    "tag_image_set": "audit.tags_run",
    "tag_images": "concepts.tag_images",
    "train_classifier": "models.train",
    "train_ensemble": "risk.ensemble_training",
    "what_to_suppress": "audit.debias_from_audit",
    "write_planted": "data.planted_set",
    "write_results": "audit.results_run",
}

_ROOMS = ("risk",)
"""Rooms that are there as ``sundog.ROOM`` without an import of their own."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Load a public name from its room on first use."""
    if name in _ROOMS:
        return importlib.import_module(f"sundog.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'sundog' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"sundog.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
