"""What a wrapped classifier returns: the prediction and three risks per image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.notebook import Card, InNotebook
from sundog.core.shapes import Logits

Field = Literal["representation", "epistemic", "aleatoric"]
FIELDS: tuple[Field, ...] = get_args(Field)

Score = Float[Tensor, "batch"]


@dataclass(frozen=True, eq=False, repr=False)
class RiskOutput(InNotebook):
    """Prediction and risks of a batch, one value per image and field.

    Attributes:
        prediction: ``float[batch, classes]``, what ``model(images)`` returns: logits.
        probabilities: ``float[batch, classes]``, softmax of the prediction.
        representation: how common images like this one are among the training images: a
            log-density, or a score that rises with it. **High = well represented.**
        epistemic: how unsure the model is for want of training data. **High = risky.**
        aleatoric: how noisy the label is, whatever the amount of data. **High = risky.**
        scores: every score of every method, by ``METHOD.FIELD``; the three fields are the first
            method's that gives them.
        indices: ``int64[batch]``, position of each image in what :meth:`RiskModel.predict` was
            given (images that cannot be decoded are left out); None for a single call.

    A field that no method gives is None.
    """

    prediction: Logits
    probabilities: Logits
    representation: Score | None = None
    epistemic: Score | None = None
    aleatoric: Score | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    indices: Int64[Tensor, "batch"] | None = None

    def __post_init__(self) -> None:
        """Check that every field has one value per image.

        Raises:
            InputError: another shape.
        """
        count = len(self.prediction)
        if self.prediction.ndim != 2 or self.probabilities.shape != self.prediction.shape:
            raise InputError(
                "prediction and probabilities",
                expected="of one shape [batch, classes]",
                got=f"{tuple(self.prediction.shape)} and {tuple(self.probabilities.shape)}",
            )
        for name, values in self._each().items():
            if values.shape != (count,):
                raise InputError(
                    name,
                    expected=f"one value per image, shape ({count},)",
                    got=str(tuple(values.shape)),
                )

    def __len__(self) -> int:
        return len(self.prediction)

    def __getitem__(self, index: int | slice | Tensor | np.ndarray | Sequence[int]) -> RiskOutput:
        """Return some of the images: a position (kept as a batch of one), slice, mask or list."""
        if isinstance(index, (int, np.integer)):
            position = int(index)
            if not -len(self) <= position < len(self):
                raise IndexError(f"image {position} of {len(self)}")
            position %= len(self)
            return self._map(lambda values: values[position : position + 1])
        if isinstance(index, slice):
            return self._map(lambda values: values[index])
        chosen = torch.as_tensor(np.asarray(index.cpu() if isinstance(index, Tensor) else index))
        if chosen.dtype != torch.bool:
            chosen = chosen.long()
        return self._map(lambda values: values[chosen.to(values.device)])

    @property
    def predicted(self) -> Int64[Tensor, "batch"]:
        """The most probable class of each image."""
        return self.prediction.argmax(dim=1)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The risks that are there."""
        return tuple(name for name in FIELDS if getattr(self, name) is not None)

    def to(self, device: str | torch.device) -> RiskOutput:
        """Return the same on another device."""
        return self._map(lambda values: values.to(device))

    def numpy(self) -> dict[str, np.ndarray]:
        """Return arrays by name: prediction, probabilities, the risks there are, all scores."""
        arrays = {"prediction": self.prediction, "probabilities": self.probabilities}
        return {k: v.detach().cpu().numpy() for k, v in {**arrays, **self._each()}.items()}

    def _each(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {name: getattr(self, name) for name in self.fields}
        return {**found, **self.scores}

    def _map(self, change: Callable[[Tensor], Tensor]) -> RiskOutput:
        return RiskOutput(
            prediction=change(self.prediction),
            probabilities=change(self.probabilities),
            **{name: change(getattr(self, name)) for name in self.fields},
            scores={name: change(values) for name, values in self.scores.items()},
            indices=None if self.indices is None else change(self.indices),
        )

    def _card(self) -> Card:
        known = [
            n for n in ("representation", "epistemic", "aleatoric") if getattr(self, n) is not None
        ]
        rows = [
            {
                "risk": name,
                "mean": float(values.mean()),
                "lowest": float(values.min()),
                "highest": float(values.max()),
            }
            for name, values in self._each().items()
            if len(values)
        ]
        return Card(
            headline=f"Risks of {len(self.prediction):,} images: {', '.join(known) or 'none'}",
            facts={"classes": self.prediction.shape[1]},
            tables=[("Risks, one value per image", pd.DataFrame(rows))],
        )


def concat_outputs(outputs: Sequence[RiskOutput]) -> RiskOutput:
    """Return several batches of one model as one.

    Raises:
        InputError: no batch, or batches with different fields.
    """
    if not outputs:
        raise InputError("outputs", expected="at least one batch", got="none")
    kinds = {(output.fields, tuple(output.scores)) for output in outputs}
    if len(kinds) > 1:
        raise InputError(
            "outputs",
            expected="with the same fields and scores",
            got=f"{len(kinds)} kinds",
            hint="Concatenate the batches of one model.",
        )
    first = outputs[0]
    return RiskOutput(
        prediction=torch.cat([output.prediction for output in outputs]),
        probabilities=torch.cat([output.probabilities for output in outputs]),
        **{name: torch.cat([getattr(output, name) for output in outputs]) for name in first.fields},
        scores={
            name: torch.cat([output.scores[name] for output in outputs]) for name in first.scores
        },
        indices=_joined([output.indices for output in outputs]),
    )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if len(known) == len(parts) else None


def join_scores(
    prediction: Logits, found: Mapping[str, Mapping[Field, Score]], *, methods: Sequence[str]
) -> RiskOutput:
    """Return the output of several methods on one pass.

    Args:
        prediction: logits.
        found: method → field → score.
        methods: in order of precedence: a field is taken from the first that gives it.
    """
    fields: dict[str, Score] = {}
    scores: dict[str, Score] = {}
    for method in methods:
        for name, values in found[method].items():
            fields.setdefault(name, values)
            scores[f"{method}.{name}"] = values
    return RiskOutput(
        prediction=prediction,
        probabilities=prediction.softmax(dim=1),
        representation=fields.get("representation"),
        epistemic=fields.get("epistemic"),
        aleatoric=fields.get("aleatoric"),
        scores=scores,
    )
