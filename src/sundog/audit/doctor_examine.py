"""The examination itself: the order in which a classifier and its images are looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sundog.audit.doctor_data import Sample
from sundog.audit.doctor_environment import cost_check
from sundog.audit.doctor_labels import Aligned, align, columns_check, order_check
from sundog.audit.doctor_layers import dry_runs, layer_checks, method_check
from sundog.audit.doctor_model import behaviour_checks, gradient_check, output_checks
from sundog.audit.doctor_normalisation import normalisation_check
from sundog.audit.doctor_result import Check
from sundog.audit.doctor_search import both_wrong
from sundog.core.errors import SundogError, first_line
from sundog.data.image_set import ImageSet
from sundog.models.classifier import Classifier
from sundog.models.label_order import OrderTest, check_label_order, find_columns
from sundog.models.normalisations import Normalisation, seen_as
from sundog.models.sample_logits import sample_logits

Made = Check | Sequence[Check]
ALPHA = 0.01
"""Of the claim that another order of the classes is right."""


@dataclass(frozen=True)
class Chart:
    """The checks so far, in order."""

    checks: list[Check] = field(default_factory=list)

    def add(self, made: Made) -> None:
        """Add what was checked."""
        self.checks.extend([made] if isinstance(made, Check) else made)

    def guard(self, name: str, make: Callable[[], Made]) -> bool:
        """Add what ``make`` returns, or its error as a failed check; return whether it went well.

        Networks of others raise any kind of error: each is reported, and the next part goes on.
        """
        try:
            self.add(make())
        except SundogError as error:
            self.add(Check(name, "fail", error.message, "no error", "see the message"))
        except Exception as error:  # as above
            self.add(Check(name, "fail", first_line(error), "no error", "look at the network"))
        else:
            return True
        return False


@dataclass(frozen=True, eq=False)
class Patient:
    """What is examined.

    Attributes:
        image_set: all images.
        sample: of them.
        classifier: in eval mode.
        training: modules that were in train mode when it was given.
        methods: attribution methods of the long run.
        tried: methods that are tried, these among them.
        model: what was opened, for the advice.
        seed: of every draw.
    """

    image_set: ImageSet
    sample: Sample
    classifier: Classifier
    training: tuple[str, ...]
    methods: tuple[str, ...]
    tried: tuple[str, ...]
    model: object
    seed: int


@dataclass(frozen=True, eq=False)
class _Answers:
    """What one pass over the sample gave.

    Attributes:
        raw: what the network returns, of a few images.
        scores: logits of all the network's outputs, of the sample.
        columns: the output of each class.
        seconds: per image.
    """

    raw: Float[Tensor, "few columns"]
    scores: Float[Tensor, "n columns"]
    columns: tuple[int, ...]
    seconds: float


def examine(patient: Patient, chart: Chart, step: Callable[[str], None]) -> None:
    """Add the checks of classifier, labels, normalisation and layers to the chart.

    Args:
        patient: what is examined.
        chart: gets the checks.
        step: told the name of each step.
    """
    classifier, images = patient.classifier, patient.sample.images
    step("behaviour")
    chart.guard(
        "model: behaviour",
        lambda: behaviour_checks(classifier, images, training=patient.training),
    )
    answers: list[_Answers] = []

    def ask() -> tuple[Check, ...]:
        answers.append(_ask(classifier, images))
        return ()

    step("predictions")
    if chart.guard("model: predictions", ask):
        _judge_answers(patient, answers[0], chart, step)
    chart.guard("model: gradient", lambda: gradient_check(classifier, images))
    step("layers")
    chart.guard("layers: there", lambda: layer_checks(classifier, images))
    runs = dry_runs(classifier, images, patient.tried)
    chart.add(method_check(runs, patient.methods))
    if answers:
        asked = [run for run in runs if run.method in patient.methods]
        chart.guard(
            "environment: cost",
            lambda: cost_check(
                classifier,
                images[:1],
                images=len(patient.image_set),
                forward_seconds=answers[0].seconds,
                runs=asked,
            ),
        )


def _ask(classifier: Classifier, images: Tensor) -> _Answers:
    with torch.no_grad():
        raw = torch.cat(
            [classifier.raw_output(image[None].to(classifier.device)) for image in images[:32]]
        ).cpu()
    whole = classifier.with_classes(None, None)
    began = time.perf_counter()
    scores = sample_logits(whole, images)
    seconds = (time.perf_counter() - began) / len(images)
    columns = classifier.class_indices or tuple(range(scores.shape[1]))
    return _Answers(raw=raw, scores=scores, columns=columns, seconds=seconds)


def _judge_answers(
    patient: Patient, answers: _Answers, chart: Chart, step: Callable[[str], None]
) -> None:
    classifier, sample = patient.classifier, patient.sample
    aligned = align(
        patient.image_set,
        classifier_names=classifier.class_names,
        outputs=len(answers.columns),
    )
    labels = aligned.labels[sample.rows]
    chart.add(
        output_checks(
            classifier,
            answers.raw,
            answers.scores[:, list(answers.columns)],
            labels,
            classes=len(answers.columns),
            set_classes=len(patient.image_set.class_names),
        )
    )
    chart.add(aligned.checks)
    finite = bool(torch.isfinite(answers.scores).all())
    if not finite or classifier.weights == "random":
        why = "the weights are random" if finite else "the logits are not finite"
        left = ("labels: order", "normalisation: as trained")
        chart.add([Check(name, "skipped", why) for name in left])
        return
    if not aligned.usable:
        own = patient.image_set
        found = find_columns(
            answers.scores.numpy(),
            own.labels[sample.rows],
            classes=len(own.class_names),
            alpha=ALPHA,
            seed=patient.seed,
        )
        chart.add(columns_check(found, own.class_names))
    test = _test_order(patient, answers, aligned, labels)
    step("normalisation")
    columns = answers.columns if test is None or test.best is None else test.best.columns
    made: list[tuple[Check, Normalisation | None]] = []

    def normalisation() -> Sequence[Check]:
        check, way = normalisation_check(
            classifier,
            sample.images,
            labels,
            answers.scores,
            columns=columns,
            model=patient.model,
            seed=patient.seed,
        )
        made.append((check, way))
        return ()

    fine = chart.guard("normalisation: as trained", normalisation)
    way = made[0][1] if made else None
    if test is not None:
        test, fed = _fed_otherwise(patient, answers, aligned, labels, test, way)
        chart.add(order_check(test, aligned.names, by_name=aligned.by_name, fed=fed))
    chart.add([check for check, _ in made])
    if test is None or not fine or way is not None:
        return
    if test.enough and test.best is None and test.accuracy.low <= test.chance:
        chart.guard(
            "normalisation: with order",
            lambda: both_wrong(
                classifier,
                sample.images,
                labels,
                columns=answers.columns,
                names=aligned.names,
                model=patient.model,
                seed=patient.seed,
            ),
        )


def _fed_otherwise(
    patient: Patient,
    answers: _Answers,
    aligned: Aligned,
    labels: Int64[np.ndarray, "n"],
    test: OrderTest,
    way: Normalisation | None,
) -> tuple[OrderTest, str]:
    """Return the test of the order with images fed as they should be, if they were not.

    A network that is fed wrongly is right too seldom to show the whole order of its classes.
    """
    if way is None:
        return test, ""
    whole = patient.classifier.with_classes(None, None)
    scores = sample_logits(
        whole, patient.sample.images, change=lambda part: seen_as(whole, part, way)
    )
    again = _test_order(patient, replace(answers, scores=scores), aligned, labels)
    if again is None or (again.best is None and test.best is None):
        return test, ""
    return again, f", with {way.words}"


def _test_order(
    patient: Patient, answers: _Answers, aligned: Aligned, labels: Int64[np.ndarray, "n"]
) -> OrderTest | None:
    if not aligned.usable:
        return None
    return check_label_order(
        answers.scores.numpy(),
        labels,
        columns=answers.columns,
        names=aligned.names,
        alpha=ALPHA,
        seed=patient.seed,
    )
