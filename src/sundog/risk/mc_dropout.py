"""Monte Carlo dropout: how much the answers of thinned networks differ."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.models.classifier import Classifier
from sundog.models.head import Head, read_head
from sundog.models.layers import find_layer
from sundog.risk.checked_rows import same_device
from sundog.risk.dropout_masks import (
    DropoutCall,
    affine_noise,
    dropout_calls,
    dropout_layers,
    is_at_head,
    thinned,
)
from sundog.risk.estimator import Passed, Sampling
from sundog.risk.information import InformationSplit, RunningSplit, in_double
from sundog.risk.joint_training import head_or_none
from sundog.risk.output import Field, Score

INSERTED = "head input"
"""Stands for the layer that ``rate`` inserts, where masks are drawn."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Where the dropout of one classifier acts.

    Attributes:
        calls: the dropout layers that run; empty if one is inserted before the head.
        head: the linear head, if dropout acts on nothing but its input; then no further pass of
            the network is needed.
    """

    calls: tuple[DropoutCall, ...]
    head: Head | None


class MCDropout(Sampling):
    """Disagreement of thinned networks: the same weights, another dropout mask in every pass.

    ``epistemic`` is the mutual information of class and mask, ``aleatoric`` the mean entropy of
    the passes, both in nats; higher is riskier. The prediction stays that of the whole network.

    Only dropout layers are random (``nn.Dropout``, ``1d``, ``2d``, ``3d``, ``AlphaDropout`` and
    ``FeatureAlphaDropout``): the classifier stays in eval mode, batch norm keeps its statistics,
    and hooks put the masks in. The mask of a layer is drawn from (seed, pass, layer) and is the
    same for every image, so each pass is one thinned network and the score of an image does not
    depend on its batch. If dropout acts on the input of the head alone, all passes are made from
    the features of one. Dropout that a network calls as a function, and stochastic depth, stay
    off.

    Args:
        passes: thinned networks, >= 2.
        rate: share of features that are dropped before the head, in (0, 1), for networks without
            dropout layers; None uses the network's own layers. With a rate these stay off.
        seed: of the masks.

    Raises:
        InputError: an argument out of range.

    Source:
        Gal & Ghahramani, 2016, arXiv 1506.02142.
    """

    name: ClassVar[str] = "mc_dropout"
    gives: ClassVar[tuple[Field, ...]] = ("epistemic", "aleatoric")
    needs_images: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False

    def __init__(self, *, passes: int = 20, rate: float | None = None, seed: int = 0) -> None:
        if passes < 2:
            raise InputError("passes", expected=">= 2", got=str(passes))
        if rate is not None and not 0 < rate < 1:
            raise InputError("rate", expected="in (0, 1)", got=str(rate))
        self.passes = passes
        self.rate = rate
        self.seed = seed
        self._last: tuple[weakref.ref[Classifier], tuple[int, ...], Plan] | None = None

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"passes": self.passes, "rate": self.rate, "seed": self.seed}

    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return mutual information (epistemic) and mean entropy (aleatoric), in nats.

        Raises:
            InputError: arrays without images, a network without dropout layers, or one whose
                dropout mixes images.
            ModelStateError: a classifier in train mode.
        """
        found = self.split(passed)
        return {
            "epistemic": same_device(found.epistemic, passed),
            "aleatoric": same_device(found.aleatoric, passed),
        }

    @torch.no_grad()
    def split(self, passed: Passed) -> InformationSplit:
        """Return mean probabilities and all three uncertainties; see :meth:`score`."""
        images, classifier = passed.require_images(self.name), passed.classifier
        if classifier is None:
            raise InputError(
                f"Method {self.name!r}", expected="given the classifier", got="images alone"
            )
        classifier.require_eval()
        plan = self._plan(classifier, images)
        running = RunningSplit()
        for index in range(self.passes):
            if plan.head is not None:
                logits = self._from_features(passed, plan, index)
            else:
                with thinned(classifier, plan.calls, draw=self._draw(index)):
                    logits = in_double(classifier(images))
            running.add(logits.softmax(dim=1)[None])
        return running.split()

    def _draw(self, index: int) -> Callable[[str, int], torch.Generator]:
        return lambda layer, call: generator(self.seed, self.name, index, layer, call)

    def _from_features(
        self, passed: Passed, plan: Plan, index: int
    ) -> Float[Tensor, "batch classes"]:
        """Return the logits of a thinned network: ``logits + W (thinned - features)``."""
        head, draw = plan.head, self._draw(index)
        if head is None:
            raise InputError("plan", expected="with a head", got="none")
        features, logits = in_double(passed.features), in_double(passed.logits)
        shape = (1, features.shape[1])
        if plan.calls:
            call = plan.calls[0]
            scale, shift = affine_noise(call, shape, draw=draw(call.layer, call.index))
        else:
            kept = torch.rand(shape, generator=draw(INSERTED, 0)) >= float(self.rate or 0.0)
            scale, shift = kept / (1 - float(self.rate or 0.0)), torch.zeros(shape)
        change = features * (scale.to(features) - 1) + shift.to(features)
        return logits + change @ head.weight.to(features).T

    def _plan(self, classifier: Classifier, images: Tensor) -> Plan:
        """Return the plan of this classifier: made once, and anew when its head has changed."""
        if self._last is not None:
            known, state, plan = self._last
            if known() is classifier and state == _head_state(classifier, plan):
                return plan
        plan = self._make_plan(classifier, images)
        self._last = (weakref.ref(classifier), _head_state(classifier, plan), plan)
        return plan

    def _make_plan(self, classifier: Classifier, images: Tensor) -> Plan:
        if self.rate is not None:
            return Plan((), read_head(classifier))
        calls = dropout_calls(classifier, images[:1])
        if not calls:
            raise InputError(
                f"Classifier {classifier.name!r}",
                expected="one with dropout layers of a rate above 0 for method 'mc_dropout'",
                got="none that runs",
                hint="Give rate=0.2 to drop features before the head, or use 'laplace' or an "
                "ensemble.",
            )
        at_head = len(calls) == 1 and is_at_head(classifier, calls[0], images[:1])
        return Plan(calls, head_or_none(classifier) if at_head else None)


def _head_state(classifier: Classifier, plan: Plan) -> tuple[int, ...]:
    """Return what changes with the weights of the head and with the rates of the dropout."""
    rates = tuple(hash((name, layer.p)) for name, layer in dropout_layers(classifier).items())
    if plan.head is None:
        return rates
    weight = find_layer(classifier, plan.head.layer).weight
    return (id(weight), int(weight._version), *rates)
