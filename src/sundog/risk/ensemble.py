"""Several classifiers asked as one: what each is unsure of, and what they disagree on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self, overload

import torch
from torch import Tensor, nn

from sundog.core.errors import CheckpointError, InputError, first_line
from sundog.core.files import write_json
from sundog.core.shapes import Images, Logits
from sundog.data.transforms import Resize
from sundog.models.classifier import Classifier
from sundog.models.store import CLASSIFIER_FILE, load_classifier, save_classifier
from sundog.models.zoo import get_model
from sundog.risk.images import Source, image_batches
from sundog.risk.information import in_double, split_information
from sundog.risk.model import RiskModel
from sundog.risk.output import Field, RiskOutput, concat_outputs
from sundog.risk.store import RISK_FILE, load_risk_model, save_risk_model

ENSEMBLE_FILE = "ensemble.json"
FORMAT = 1

Member = Classifier | RiskModel


class EnsembleModel(nn.Module):
    """An ensemble with the calling convention of a wrapped classifier.

    ``model(images)`` returns ``log mean_m p_m``, whose softmax is the mean of the members'
    probabilities; ``model(images, return_risk=True)`` adds the risks:

    - ``epistemic``: mutual information of class and member,
      ``H(mean_m p_m) - mean_m H(p_m)``, in nats; exactly 0 for one member.
    - ``aleatoric``: the mean of the members' own aleatoric risk if they have one (an ensemble of
      MVE keeps both), else the mean entropy ``mean_m H(p_m)``.
    - ``representation``: the mean of the members', if they have one.

    ``scores`` holds ``ensemble.epistemic``, ``ensemble.aleatoric`` (the mean entropy) and the
    mean over the members of every score that they give.

    Args:
        members: classifiers, wrapped classifiers (all with the same methods), or folders and
            files that :func:`sundog.models.zoo.get_model` or
            :func:`sundog.risk.store.load_risk_model` reads. At least one, all in eval mode.

    Raises:
        InputError: no member, other classes or input sizes, or members of several kinds.
        ModelStateError: a member in train mode.

    Source:
        Lakshminarayanan, Pritzel & Blundell, 2017, arXiv 1612.01474; the split: Depeweg et al.,
        2018, arXiv 1710.07283.
    """

    def __init__(self, members: Sequence[Member | str | os.PathLike[str]]) -> None:
        super().__init__()
        opened = [m if isinstance(m, (Classifier, RiskModel)) else _open(m) for m in members]
        _check_members(opened)
        self.members = nn.ModuleList(opened)
        self.eval()

    def __len__(self) -> int:
        return len(self.members)

    @property
    def classifiers(self) -> tuple[Classifier, ...]:
        """The members' classifiers."""
        return tuple(_classifier(member) for member in self._members())

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, or None if none were given."""
        return self.classifiers[0].class_names

    @property
    def gives(self) -> tuple[Field, ...]:
        """The risks of every image."""
        first = self._members()[0]
        inner = first.gives if isinstance(first, RiskModel) else ()
        return (
            *(("representation",) if "representation" in inner else ()),
            "epistemic",
            "aleatoric",
        )

    @property
    def device(self) -> torch.device:
        """Where the first member lives."""
        return self.classifiers[0].device

    @overload
    def forward(self, images: Images, *, return_risk: Literal[False] = False) -> Logits: ...

    @overload
    def forward(self, images: Images, *, return_risk: Literal[True]) -> RiskOutput: ...

    def forward(self, images: Images, *, return_risk: bool = False) -> Logits | RiskOutput:
        """Return the log of the mean probabilities, or prediction and risks.

        Args:
            images: ``float[batch, 3, height, width]`` in [0, 1].
            return_risk: needs every member fitted and in eval mode.

        Raises:
            ModelStateError: a member that was not fitted, or in train mode.
            InputError: members that return other numbers of classes.
        """
        if not return_risk:
            return _log_mean([classifier(images) for classifier in self.classifiers])
        for classifier in self.classifiers:
            classifier.require_eval()
        with torch.no_grad():
            return self._combine([_ask(member, images) for member in self._members()])

    def fit(self, data: Source, **options: Any) -> Self:
        """Fit the risk methods of every wrapped member; classifiers need no fit.

        Args:
            data: the training images.
            options: of :meth:`sundog.risk.model.RiskModel.fit`; ``out_dir`` gets a folder for
                each member.
        """
        folder = options.pop("out_dir", None)
        for number, member in enumerate(self._members()):
            if isinstance(member, RiskModel):
                place = None if folder is None else Path(folder) / member_name(number)
                member.fit(data, out_dir=place, **options)
        return self

    def predict(
        self,
        data: Source,
        *,
        size: int | tuple[int, int] | None = None,
        resize: Resize = "pad",
        batch_size: int = 64,
        progress: bool | None = None,
    ) -> RiskOutput:
        """Return prediction and risks of many images, on the CPU, streamed.

        Args:
            data: see :meth:`sundog.risk.model.RiskModel.predict`.
            size: (height, width) or side in pixels; the members' input size if None.
            resize: ``pad``, ``crop`` or ``stretch``.
            batch_size: images per pass; the result does not depend on it.
            progress: show progress; None = on a terminal.
        """
        batches = image_batches(
            data,
            size=size or self.classifiers[0].input_size,
            resize=resize,
            batch_size=batch_size,
            progress=progress,
        )
        return concat_outputs(
            [self(batch.images.to(self.device), return_risk=True).to("cpu") for batch in batches]
        )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write every member to a folder of its own and ``ensemble.json`` last; no pickle.

        Raises:
            ModelStateError: a member that was not fitted.
        """
        target = Path(folder)
        names = []
        for number, member in enumerate(self._members()):
            names.append(member_name(number))
            if isinstance(member, RiskModel):
                save_risk_model(member, target / names[-1])
            else:
                save_classifier(member, target / names[-1])
        write_json(target / ENSEMBLE_FILE, {"format": FORMAT, "members": names})
        return target

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        network: Callable[[], nn.Module] | None = None,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Return the ensemble that :meth:`save` or training wrote.

        Args:
            folder: holds ``ensemble.json`` and a folder for each member.
            network: makes the network of a member, for networks of your own.
            device: where the members go.

        Raises:
            CheckpointError: files missing, or changed since they were written.
        """
        place = Path(folder)
        file = place / ENSEMBLE_FILE
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            names = [str(name) for name in about["members"]]
            known = about["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"Folder {str(place)!r}",
                expected=f"with a readable {ENSEMBLE_FILE}",
                got=first_line(error),
                hint="Is it the folder that ensemble.save(...) or train_ensemble(...) wrote?",
            ) from error
        if not known:
            raise CheckpointError(
                f"File {str(file)!r}",
                expected=f"of format {FORMAT}",
                got=str(about["format"]),
                hint="It was written by another version of Sundog.",
            )
        return cls(
            [_open(place / Path(name).name, network=network, device=device) for name in names]
        )

    def _members(self) -> list[Member]:
        return [m for m in self.members if isinstance(m, (Classifier, RiskModel))]

    def _combine(self, outputs: list[RiskOutput]) -> RiskOutput:
        prediction = _log_mean([output.prediction for output in outputs])
        chances = torch.stack([in_double(o.prediction).softmax(dim=1) for o in outputs])
        found = split_information(chances)
        scores = {"ensemble.epistemic": found.epistemic, "ensemble.aleatoric": found.aleatoric}
        for name in outputs[0].scores:
            scores[name] = torch.stack([in_double(o.scores[name]) for o in outputs]).mean(dim=0)

        def mean(field: Field) -> Tensor | None:
            values = [getattr(output, field) for output in outputs]
            known = [in_double(value) for value in values if value is not None]
            return torch.stack(known).mean(dim=0) if len(known) == len(values) else None

        def placed(values: Tensor) -> Tensor:
            device = prediction.device
            return (values.float() if device.type == "mps" else values).to(device)

        own, common = mean("aleatoric"), mean("representation")
        return RiskOutput(
            prediction=prediction,
            probabilities=found.probabilities.to(prediction),
            representation=None if common is None else placed(common),
            epistemic=placed(found.epistemic),
            aleatoric=placed(found.aleatoric if own is None else own),
            scores={name: placed(values) for name, values in scores.items()},
        )

    def extra_repr(self) -> str:
        """Show how many members there are."""
        return f"{len(self)} members"


def member_name(number: int) -> str:
    """Return the name of a member's folder."""
    return f"member-{number:03d}"


def _log_mean(logits: list[Logits]) -> Logits:
    shapes = {tuple(each.shape) for each in logits}
    if len(shapes) > 1:
        raise InputError(
            "The members' outputs",
            expected="of one shape",
            got=" and ".join(str(shape) for shape in sorted(shapes)),
            hint="An ensemble needs members with the same classes.",
        )
    stacked = torch.stack([torch.log_softmax(in_double(each), dim=1) for each in logits])
    return (torch.logsumexp(stacked, dim=0) - math.log(len(logits))).to(logits[0])


def _ask(member: Member, images: Images) -> RiskOutput:
    if isinstance(member, RiskModel):
        return member(images, return_risk=True)
    logits = member(images)
    return RiskOutput(prediction=logits, probabilities=logits.softmax(dim=1))


def _classifier(member: Member) -> Classifier:
    return member.classifier if isinstance(member, RiskModel) else member


def _open(
    path: str | os.PathLike[str],
    *,
    network: Callable[[], nn.Module] | None = None,
    device: str | torch.device = "cpu",
) -> Member:
    made = network() if network is not None else None
    if (Path(path) / RISK_FILE).is_file():
        return load_risk_model(path, network=made, device=device)
    if (Path(path) / CLASSIFIER_FILE).is_file():
        return load_classifier(path, network=made, device=device)
    return get_model(path, device=device)


def _check_members(members: Sequence[Member]) -> None:
    if not members:
        raise InputError("members", expected="at least one", got="none")
    if len({id(_classifier(member)) for member in members}) < len(members):
        raise InputError(
            "members",
            expected="networks of their own",
            got="one network several times",
            hint="A network does not disagree with itself; train members with other seeds.",
        )
    kinds = {m.methods if isinstance(m, RiskModel) else () for m in members}
    if len(kinds) > 1:
        shown = " and ".join(", ".join(kind) or "none" for kind in sorted(kinds))
        raise InputError("members", expected="wrapped by the same risk methods", got=shown)
    first = _classifier(members[0])
    for member in members:
        classifier = _classifier(member)
        classifier.require_eval()
        for what, expected, found in (
            ("classes", first.class_names, classifier.class_names),
            ("an input size", first.input_size, classifier.input_size),
            ("a device", first.device, classifier.device),
        ):
            if expected != found:
                raise InputError(
                    "members",
                    expected=f"of the same {what.removeprefix('an ').removeprefix('a ')}",
                    got=f"{str(expected)[:100]} and {str(found)[:100]}",
                    hint="Members must answer the same question about the same images.",
                )
