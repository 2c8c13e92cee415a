"""``sundog doctor``: is everything as it should be before the long run? Nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from torch import nn

from sundog.audit.doctor_classifier import OpenedModel, open_classifier
from sundog.audit.doctor_data import OpenedData, Sample, draw_sample, open_data
from sundog.audit.doctor_environment import environment_checks
from sundog.audit.doctor_examine import Chart, Patient, examine
from sundog.audit.doctor_images import image_checks
from sundog.audit.doctor_labels import count_checks
from sundog.audit.doctor_layers import NEED_MORE, PRACTICAL
from sundog.audit.doctor_model import resize_check, size_check, trained_resize
from sundog.audit.doctor_result import Diagnosis
from sundog.audit.subject import DEFAULT_SIZE
from sundog.core.errors import InputError
from sundog.core.progress import make_progress
from sundog.data.transforms import Resize
from sundog.explain.registry import METHODS, get_method
from sundog.models.behaviour import in_eval_mode
from sundog.models.classifier import NetworkOutput

STEPS = ("images", "classifier", "sample", "behaviour", "predictions", "normalisation", "layers")


def diagnose(
    model: str | Path | nn.Module,
    data: Any,
    *,
    checkpoint: str | Path | None = None,
    classes: str | Sequence[int] | Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    split: str | None = None,
    limit: int = 256,
    size: int | None = None,
    resize: Resize | None = None,
    methods: Sequence[str] | None = None,
    device: str = "cpu",
    seed: int = 0,
    download: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    output: NetworkOutput = "logits",
    path_column: str | None = None,
    label_column: str | None = None,
    progress: bool | None = None,
) -> Diagnosis:
    """Check classifier, layers, normalisation, labels, images and machine before a long run.

    A wrong normalisation or order of classes is detected from the predictions on a sample, with
    n, interval and a corrected p-value. Nothing is changed and nothing is written.

    Args:
        model: a Classifier, a network, or a name or path that :func:`sundog.get_model` takes.
        data: an image set, a torch dataset, or a source that :func:`sundog.load_image_set` takes.
        checkpoint: weights to load.
        classes: of the outputs, by number or name; ``auto`` keeps those that the images have.
        class_names: of the (kept) outputs, in order.
        split: part of the images; of a folder with several, validation if None.
        limit: images that are shown to the classifier, as many of each class as can be.
        size: side in pixels; None = the classifier's own, or 224.
        resize: pad, crop or stretch; None = as a training run says, or pad.
        methods: attribution methods of the long run, which must work; None = the five of
            ``sundog explain``, and all others are tried too.
        device: cpu, cuda, mps or auto.
        seed: of the sample and of every draw.
        download: whether images or weights may be downloaded.
        mean: per channel, in [0, 1] units.
        std: per channel, in [0, 1] units.
        output: what the network is said to return.
        path_column: of a manifest.
        label_column: of a manifest.
        progress: None shows it on a terminal.

    Returns:
        Every check, with what was found and what to try.

    Raises:
        InputError: an argument that makes no sense. What is wrong with model or data is a check.
        UnknownNameError: no such method.
    """
    if limit < 1:
        raise InputError("limit", expected=">= 1", got=str(limit))
    if resize is not None and resize not in get_args(Resize):
        raise InputError("resize", expected=f"one of {get_args(Resize)}", got=repr(resize))
    asked = tuple(PRACTICAL if methods is None else methods)
    for name in asked:
        get_method(name)
    tried = asked if methods is not None else tuple(m for m in METHODS if m not in NEED_MORE)
    began = time.perf_counter()
    trained = trained_resize(model)
    way: Resize = resize or _resize(trained)
    with make_progress(visible=progress) as display:
        task = display.add_task("images", total=len(STEPS))

        def step(name: str) -> None:
            display.update(task, description=name, completed=STEPS.index(name))

        opened = open_data(
            data,
            split=split,
            seed=seed,
            download=download,
            path_column=path_column,
            label_column=label_column,
        )
        chart = Chart(list(opened.checks))
        step("classifier")
        with _modes_kept(model):
            given = open_classifier(
                model,
                classes=classes,
                class_names=class_names,
                set_names=() if opened.image_set is None else opened.image_set.class_names,
                checkpoint=checkpoint,
                mean=mean,
                std=std,
                output=output,
                device=device,
                download=download,
                seed=seed,
            )
            made = None if given.classifier is None else given.classifier.input_size
            goal = (size, size) if size is not None else made or DEFAULT_SIZE
            step("sample")
            sample = _sample(chart, opened, size=goal, resize=way, limit=limit, seed=seed)
            chart.add(given.checks)
            if given.classifier is not None:
                chart.add([size_check(given.classifier, goal), resize_check(trained, way)])
            if given.classifier is not None and opened.image_set is not None and sample is not None:
                patient = Patient(
                    image_set=opened.image_set,
                    sample=sample,
                    classifier=given.classifier,
                    training=given.training,
                    methods=asked,
                    tried=tried,
                    model=model,
                    seed=seed,
                )
                with in_eval_mode(given.classifier):
                    examine(patient, chart, step)
        images = 0 if opened.image_set is None else len(opened.image_set)
        chart.add(environment_checks(images=images, size=goal, maps=len(asked)))
    return Diagnosis(
        checks=tuple(chart.checks),
        classifier=_name(given, model),
        image_set=opened.image_set.name if opened.image_set is not None else str(data)[:80],
        images=images,
        sample=0 if sample is None else len(sample.rows),
        seconds=time.perf_counter() - began,
        seed=seed,
    )


def _sample(
    chart: Chart,
    opened: OpenedData,
    *,
    size: tuple[int, int],
    resize: Resize,
    limit: int,
    seed: int,
) -> Sample | None:
    """Add the checks of the images and the counts of the labels; return the sample."""
    images = opened.image_set
    if images is None:
        return None
    drawn: list[Sample] = []

    def draw() -> list[Any]:
        drawn.append(draw_sample(images, size=size, resize=resize, limit=limit, seed=seed))
        return image_checks(opened, drawn[0], size=size, resize=resize)

    chart.guard("images: readable", draw)
    chart.add(count_checks(images, complete=opened.complete))
    return drawn[0] if drawn else None


@contextmanager
def _modes_kept(model: object) -> Iterator[None]:
    """Give a network of the user's own its train modes back: opening it turns them off."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [(module, module.training) for module in modules]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _resize(trained: str | None) -> Resize:
    for known in get_args(Resize):
        if trained == known:
            return known
    return "pad"


def _name(given: OpenedModel, model: object) -> str:
    if given.classifier is not None:
        return given.classifier.name
    return type(model).__name__ if isinstance(model, nn.Module) else str(model)[:80]
