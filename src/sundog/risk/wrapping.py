"""One line from a classifier to a classifier that returns its risks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from torch import nn

from sundog.core.errors import InputError
from sundog.models.classifier import Classifier
from sundog.models.layers import find_layer
from sundog.models.zoo import get_model
from sundog.risk.ensemble import EnsembleModel
from sundog.risk.estimator import Estimator
from sundog.risk.model import RiskModel
from sundog.risk.registry import make_estimator

DEFAULT_METHODS = ("laplace", "knn")
"""Epistemic and aleatoric by a Laplace posterior of the last layer, representation by neighbours:
nothing is trained, one backbone pass."""
ENSEMBLE = "ensemble"


@overload
def wrap(
    classifier: Classifier | nn.Module | str,
    method: str | Estimator | Sequence[str | Estimator] = DEFAULT_METHODS,
    *,
    feature_layer: str | None = None,
    **parameters: Any,
) -> RiskModel: ...


@overload
def wrap(
    classifier: Sequence[Classifier | RiskModel | str],
    method: str | Estimator | Sequence[str | Estimator] = ENSEMBLE,
    *,
    feature_layer: str | None = None,
    **parameters: Any,
) -> EnsembleModel: ...


def wrap(
    classifier: Classifier | nn.Module | str | Sequence[Classifier | RiskModel | str],
    method: str | Estimator | Sequence[str | Estimator] = DEFAULT_METHODS,
    *,
    feature_layer: str | None = None,
    **parameters: Any,
) -> RiskModel | EnsembleModel:
    """Return a model that answers as the classifier does, and with its risks on request.

    Args:
        classifier: a classifier, any network (``get_model(network, ...)`` says more about it), or
            a name or folder for :func:`sundog.models.zoo.get_model`. In eval mode; a classifier
            is wrapped, not copied, and its head stays as it is. Several of them (or folders)
            become an ensemble: what they disagree on is its epistemic risk.
        method: a name from the table of methods, a method with its parameters, or several, which
            share one backbone pass; a risk is taken from the first that gives it. ``ensemble``
            needs several classifiers; the other methods then wrap each of them.
        feature_layer: dotted name of the layer the methods look at (``head:input`` for what goes
            into it); the input of the last linear layer if None.
        parameters: of the method; with several methods, ``name={...}`` for each.

    Returns:
        The wrapped classifier, not yet fitted: call ``fit(training_images)``.

    Raises:
        UnknownNameError: no such method, network or layer.
        InputError: a parameter that the method does not have.
        ModelStateError: a classifier in train mode.
    """
    if isinstance(classifier, Sequence) and not isinstance(classifier, str):
        return _ensemble(classifier, method, feature_layer, parameters)
    made = classifier if isinstance(classifier, Classifier) else get_model(classifier)
    made.require_eval()
    if feature_layer is not None:
        made = _with_feature_layer(made, feature_layer)
    asked = [method] if isinstance(method, (str, Estimator)) else list(method)
    if len(asked) == 1:
        return RiskModel(made, [_make(asked[0], parameters)])
    names = [one if isinstance(one, str) else one.name for one in asked]
    unknown = sorted(set(parameters) - set(names))
    if unknown or not all(isinstance(value, dict) for value in parameters.values()):
        raise InputError(
            "Parameters of several methods",
            expected=f"a dictionary by method, such as {names[0]}={{...}}" if names else "none",
            got=", ".join(unknown) or "something else",
        )
    estimators = [
        _make(one, parameters.get(name, {})) for one, name in zip(asked, names, strict=True)
    ]
    return RiskModel(made, estimators)


def _ensemble(
    members: Sequence[Classifier | RiskModel | str],
    method: str | Estimator | Sequence[str | Estimator],
    feature_layer: str | None,
    parameters: dict[str, Any],
) -> EnsembleModel:
    asked = [method] if isinstance(method, (str, Estimator)) else list(method)
    inner = [one for one in asked if one != ENSEMBLE]
    if method is DEFAULT_METHODS or not inner:
        return EnsembleModel(members)
    fresh = [one.name for one in inner if isinstance(one, Estimator)]
    if fresh:
        raise InputError(
            "Methods of an ensemble",
            expected="names, so that each member gets its own",
            got=f"one made {fresh[0]!r}",
        )
    if len(asked) > 1 and len(inner) == 1:  # given by method, of which one is left
        parameters = dict(parameters.get(str(inner[0]), {}))
    return EnsembleModel(
        [
            member
            if isinstance(member, RiskModel)
            else wrap(member, inner, feature_layer=feature_layer, **parameters)
            for member in members
        ]
    )


def _make(method: str | Estimator, parameters: dict[str, Any]) -> Estimator:
    if isinstance(method, str):
        return make_estimator(method, **parameters)
    if parameters:
        raise InputError(
            f"Risk method {method.name!r}",
            expected="its parameters in its constructor",
            got=", ".join(sorted(parameters)),
        )
    return method


def _with_feature_layer(classifier: Classifier, layer: str) -> Classifier:
    changed = classifier.with_classes(classifier.class_indices, classifier.class_names)
    find_layer(changed, layer)
    changed.feature_layer = layer
    return changed
