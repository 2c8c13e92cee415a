"""Training on Lightning Fabric: deterministic, resumable after a kill, no pickle."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from sundog.core.errors import DataError, InputError
from sundog.core.files import write_json, write_table
from sundog.core.notebook import Card, InNotebook
from sundog.core.progress import make_progress
from sundog.core.seeds import derive_seed
from sundog.data.image_set import ImageSet
from sundog.data.planting import Cue
from sundog.data.transforms import Resize
from sundog.models.augment import Augment, check_augment
from sundog.models.classifier import Classifier
from sundog.models.device import resolve_device
from sundog.models.evaluate import Evaluation, check_labels, evaluate_classifier
from sundog.models.fingerprint import model_fingerprint
from sundog.models.prepared import CACHE_BYTES, PreparedImages
from sundog.models.store import load_classifier, save_classifier
from sundog.models.training_folder import (
    ARGS_FILE,
    PREDICTIONS_FILE,
    open_folder,
    read_history,
    write_history,
)
from sundog.models.training_loop import TrainingLoop
from sundog.models.training_options import (
    OptimizerName,
    Precision,
    Schedule,
    TrainingOptions,
)
from sundog.models.training_recipe import TrainingRecipe
from sundog.models.training_state import STATE_FILE, load_state, save_state
from sundog.models.zoo import get_model


@dataclass(frozen=True, eq=False, repr=False)
class TrainedRun(InNotebook):
    """A trained classifier with what was measured on the way.

    Attributes:
        classifier: in eval mode, on the device that was asked for.
        history: one row per evaluation, as in ``test.json``.
        path: the run's folder, ``None`` if nothing was written.
        args: as in ``args.json``.
    """

    classifier: Classifier
    history: pd.DataFrame
    path: Path | None
    args: dict[str, Any] = field(repr=False)

    def _card(self) -> Card:
        return Card(
            headline=f"{self.classifier.name}, trained",
            facts={"folder": "not written" if self.path is None else self.path},
            tables=[("Evaluations, the last ones", self.history.tail(6))],
        )


def train_classifier(
    network: str | nn.Module,
    train_set: ImageSet,
    *,
    validation_set: ImageSet | None = None,
    train_cue: Cue | None = None,
    eval_cue: Cue | None = None,
    epochs: int = 10,
    seed: int = 5807,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    batch_size: int = 64,
    size: int | tuple[int, int] | None = None,
    resize: Resize = "pad",
    augment: Augment | bool = "none",
    optimizer: OptimizerName = "adamw",
    schedule: Schedule = "cosine",
    precision: Precision = "32-true",
    evaluate_every: int = 1,
    recipe: TrainingRecipe | None = None,
    out_dir: str | os.PathLike[str] | None = None,
    device: str | torch.device = "auto",
    resume: bool = True,
    workers: int = 0,
    cache_bytes: int = CACHE_BYTES,
    progress: bool | None = None,
) -> TrainedRun:
    """Train a classifier with cross-entropy, evaluating it with the cue off and on.

    Each epoch sees every training image once, in an order drawn from (seed, epoch); an image is
    flipped or shifted first, then gets the cue. Weights after a kill and a resumption equal those
    of an uninterrupted run bit for bit on one CPU with the same number of threads.

    ``out_dir`` receives ``args.json`` (every hyper-parameter, the cues, the run's own id),
    ``test.json`` (a JSON line per evaluation: epoch, split, cue on or off, n, accuracy with 95 %
    Wilson interval, loss), ``predictions.parquet`` (final evaluation, a row per image and cue
    state), ``weights.safetensors`` and ``classifier.json``: ``get_model(out_dir)`` loads it.

    Args:
        network: a name for :func:`sundog.models.zoo.get_model`, a module or a classifier. Modules
            are copied, not changed.
        train_set: labelled images; its class names become the classifier's.
        validation_set: evaluated, with the same class names; the training images if None.
        train_cue: planted in the training images (their bias); None trains without.
        eval_cue: planted for the evaluations with the cue on; ``train_cue`` if None.
        epochs: passes over the training images.
        seed: of initial weights, order, augmentation and dropout.
        learning_rate: at the start.
        weight_decay: decoupled for AdamW, L2 for SGD.
        batch_size: images per step.
        size: (height, width) or side in pixels; the network's input size if None, else the
            images' own common size, which becomes the classifier's input size.
        resize: ``pad``, ``crop`` or ``stretch``.
        augment: ``none``, ``flip`` or ``flip-shift``.
        optimizer: ``adamw`` or ``sgd`` (momentum 0.9).
        schedule: ``cosine`` or ``constant``.
        precision: ``32-true`` or ``bf16-mixed``.
        evaluate_every: epochs between evaluations; the last epoch always is.
        recipe: what is done differently from plain cross-entropy (a debiasing method, say).
        out_dir: the run's folder; None writes nothing.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        resume: go on where a run with the same arguments in ``out_dir`` stopped (a finished one is
            loaded); False starts anew and forgets it.
        workers: threads that decode images.
        cache_bytes: memory for resized images; beyond it they are decoded in every epoch. The
            result is the same.
        progress: show progress; None = on a terminal.

    Returns:
        The run.

    Raises:
        DataError: unlabelled images, fewer than two classes, class names that differ.
        InputError: an option out of range.
        ModelStateError: the loss is no longer finite.
        RunFolderError: ``out_dir`` holds something else or a run with other arguments.
        DeviceError: this machine does not have the device.
    """
    place = resolve_device(device)
    cue_on = eval_cue if eval_cue is not None else train_cue
    _check_sets(train_set, validation_set, (train_cue, eval_cue))
    classifier = _make_classifier(network, train_set, seed=seed, size=size)
    options = TrainingOptions(
        epochs=epochs,
        seed=seed,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=batch_size,
        optimizer=optimizer,
        schedule=schedule,
        augment=check_augment(augment),
        size=classifier.input_size,
        resize=resize,
        precision=precision,
        evaluate_every=evaluate_every,
    )
    folder = Path(out_dir) if out_dir is not None else None
    args = {
        "network": network if isinstance(network, str) else classifier.name,
        **options.to_dict(),
        **_describe_cue("train_cue", train_cue),
        **_describe_cue("eval_cue", cue_on),
        "train_set": _describe_set(train_set),
        "validation_set": _describe_set(validation_set),
        "class_names": list(train_set.class_names),
        "classes_without_images": list(train_set.empty_classes),
        "parameters": sum(p.numel() for p in classifier.parameters()),
        "start_fingerprint": model_fingerprint(classifier),
        "device": str(place),
    }
    if recipe is not None:
        args["recipe"] = recipe.describe()
    if folder is not None:
        args = open_folder(folder, args, resume=resume)
        if args["finished"]:
            done = pd.DataFrame(read_history(folder))
            own = classifier.network if classifier.recipe is None else None
            found = load_classifier(folder, network=own, device=place)
            return TrainedRun(found, done, folder, args)

    def prepare(image_set: ImageSet) -> PreparedImages:
        return PreparedImages(
            image_set,
            size=options.size,
            resize=options.resize,
            cache_bytes=cache_bytes,
            workers=workers,
        )

    trained_on = prepare(train_set)
    judged_on = trained_on if validation_set is None else prepare(validation_set)
    if judged_on.image_size != trained_on.image_size:
        raise InputError(
            "size",
            expected="given for training and validation images of different sizes",
            got=f"{trained_on.image_size} and {judged_on.image_size}",
        )
    # Kept with the weights: at another size the trained network would answer otherwise.
    classifier.input_size = trained_on.image_size
    split = "train" if validation_set is None else "validation"
    run = TrainingLoop(classifier, options, trained_on, train_cue, place, recipe)
    history: list[dict[str, Any]] = []
    state = folder / STATE_FILE if folder is not None else None
    start = 0
    if state is not None and state.is_file():
        notes = load_state(state, run.trained, run.optimizer, recipe=run.recipe)
        start, history = int(notes["epoch"]), list(notes["history"])
    final: list[Evaluation] = []
    with make_progress(visible=progress) as display:
        task = display.add_task("training", total=options.epochs * len(train_set))
        for epoch in range(start, options.epochs):
            display.update(task, completed=epoch * len(train_set))
            loss = 0.0
            for loss, seen in run.epoch(epoch):
                display.update(
                    task,
                    completed=epoch * len(train_set) + seen,
                    description=f"epoch {epoch + 1}/{options.epochs}, loss {loss:.3f}",
                )
            last = epoch + 1 == options.epochs
            if last or (epoch + 1) % options.evaluate_every == 0:
                final = []
                for cue in (None,) if cue_on is None else (None, cue_on):
                    result = evaluate_classifier(
                        classifier, judged_on, cue=cue, batch_size=options.batch_size
                    )
                    final.append(result)
                    about = {"epoch": epoch + 1, "split": split, "cue_on": cue is not None}
                    history.append({**_identity(args, cue), **about, **result.to_dict()})
                    history[-1]["train_loss"] = loss
                    if recipe is not None:
                        history[-1]["recipe"] = recipe.notes()
            if state is not None and folder is not None:
                notes = {"epoch": epoch + 1, "history": history}
                save_state(state, run.trained, run.optimizer, notes=notes, recipe=run.recipe)
                write_history(folder, history)
    if not final:  # killed between the last epoch and the end
        final = [
            evaluate_classifier(classifier, judged_on, cue=cue, batch_size=options.batch_size)
            for cue in ((None,) if cue_on is None else (None, cue_on))
        ]
    classifier.weights = f"trained, run {args['run_id']}" if "run_id" in args else "trained"
    args = {**args, "finished": True, "model_fingerprint": model_fingerprint(classifier)}
    if folder is not None and state is not None:
        table = pd.concat([result.predictions for result in final], ignore_index=True)
        write_table(folder / PREDICTIONS_FILE, table)
        write_history(folder, history)
        save_classifier(classifier, folder)
        write_json(folder / ARGS_FILE, args)
        state.unlink(missing_ok=True)
    return TrainedRun(classifier, pd.DataFrame(history), folder, args)


def _make_classifier(
    network: str | nn.Module,
    train_set: ImageSet,
    *,
    seed: int,
    size: int | tuple[int, int] | None,
) -> Classifier:
    names = train_set.class_names
    side = (size, size) if isinstance(size, int) else size
    if isinstance(network, Classifier):
        classifier = copy.deepcopy(network)
        classifier.input_size = side or classifier.input_size
    elif isinstance(network, nn.Module):
        classifier = get_model(copy.deepcopy(network), class_names=names, input_size=side)
    else:
        classifier = get_model(network, classes=len(names), input_size=side, seed=seed)
    if not classifier.differentiable or (classifier.recipe and "file" in classifier.recipe):
        raise InputError(
            "network",
            expected="one that can be trained",
            got=f"{classifier.name!r}, a network frozen in a file",
            hint="Give a name, or the nn.Module it was made from.",
        )
    if classifier.class_names is None:
        classifier = classifier.with_class_names(names)
    if classifier.class_names != names:
        raise DataError(
            f"Image set {train_set.name!r}",
            expected=f"of the classifier's classes {classifier.class_names}"[:200],
            got=str(names)[:100],
        )
    return classifier


def _check_sets(
    train_set: ImageSet, validation_set: ImageSet | None, cues: tuple[Cue | None, ...]
) -> None:
    train_set.require_classes(2)
    check_labels(train_set)
    if validation_set is not None:
        check_labels(validation_set)
        if validation_set.class_names != train_set.class_names:
            raise DataError(
                f"Image set {validation_set.name!r}",
                expected="of the training set's classes, in the same order",
                got=str(validation_set.class_names)[:150],
            )
    for cue in cues:
        if cue is not None and cue.class_count != len(train_set.class_names):
            raise InputError(
                "cue",
                expected=f"made for {len(train_set.class_names)} classes",
                got=f"{cue.class_count} classes",
                hint="Use make_cue(..., class_count=len(train_set.class_names)).",
            )


def _describe_cue(name: str, cue: Cue | None) -> dict[str, Any]:
    return {
        name: cue.name if cue is not None else None,
        f"{name}_strength": cue.strength if cue is not None else None,
        f"{name}_details": cue.to_dict() if cue is not None else None,
    }


def _describe_set(image_set: ImageSet | None) -> dict[str, Any] | None:
    if image_set is None:
        return None
    pairs = zip(image_set.ids, image_set.labels.tolist(), strict=True)
    content = derive_seed(0, *(part for pair in pairs for part in pair))
    return {"name": image_set.name, "images": len(image_set), "content": f"{content:016x}"}


def _identity(args: dict[str, Any], cue: Cue | None) -> dict[str, Any]:
    known: dict[str, Any] = {k: args[k] for k in ("run_id", "unique_id") if k in args}
    return {**known, "cue": cue.name if cue is not None else None}
