"""A classifier that says how sure it is: the same prediction, with three risks on request."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, Self, overload

import torch
from torch import Tensor, nn

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Logits
from sundog.data.image_set import Batch
from sundog.data.transforms import Resize
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable
from sundog.risk.estimator import Estimator, Passed, PostHoc
from sundog.risk.fit import Train, fit_methods, fit_on_table
from sundog.risk.fit_options import FitOptions
from sundog.risk.images import Source, image_batches
from sundog.risk.one_pass import as_table, pass_once
from sundog.risk.output import Field, RiskOutput, Score, concat_outputs, join_scores


class RiskModel(nn.Module):
    """A classifier wrapped by one or more risk methods that share one backbone pass.

    ``model(images)`` is the classifier's own answer, bit for bit;
    ``model(images, return_risk=True)`` is a :class:`~sundog.risk.output.RiskOutput`. Made by
    :func:`sundog.risk.wrapping.wrap`, fitted by
    :meth:`fit`.

    Args:
        classifier: in eval mode; wrapped, not copied.
        estimators: in order of precedence; names must differ.
    """

    def __init__(self, classifier: Classifier, estimators: Sequence[Estimator]) -> None:
        super().__init__()
        names = [estimator.name for estimator in estimators]
        if not names or len(set(names)) != len(names):
            raise InputError(
                "methods", expected="at least one, each once", got=", ".join(names) or "none"
            )
        self.classifier = classifier
        self.estimators = tuple(estimators)
        self.parts = nn.ModuleDict()
        self.eval()

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the risk methods, in order of precedence."""
        return tuple(estimator.name for estimator in self.estimators)

    @property
    def gives(self) -> tuple[Field, ...]:
        """The risks that some method gives."""
        order: tuple[Field, ...] = ("representation", "epistemic", "aleatoric")
        return tuple(f for f in order if any(f in e.gives for e in self.estimators))

    def estimator(self, name: str) -> Estimator:
        """Return the risk method of this name.

        Raises:
            InputError: there is none.
        """
        for estimator in self.estimators:
            if estimator.name == name:
                return estimator
        raise InputError("method", expected=f"one of {', '.join(self.methods)}", got=repr(name))

    @overload
    def forward(self, images: Images, *, return_risk: Literal[False] = False) -> Logits: ...

    @overload
    def forward(self, images: Images, *, return_risk: Literal[True]) -> RiskOutput: ...

    def forward(self, images: Images, *, return_risk: bool = False) -> Logits | RiskOutput:
        """Return the classifier's logits, or prediction and risks.

        Args:
            images: ``float[batch, 3, height, width]`` in [0, 1].
            return_risk: needs every method fitted and the model in eval mode.

        Raises:
            ModelStateError: a method that was not fitted, or a model in train mode.
            InputError: images or features that are not finite.
        """
        if not return_risk:
            return self.classifier(images)
        self.classifier.require_eval()
        for estimator in self.estimators:
            estimator.require_fitted()
        with torch.no_grad():
            return self._scores(
                pass_once(self.classifier, images, needs_features=self.needs_features)
            )

    @property
    def needs_features(self) -> bool:
        """Whether some method looks at more than the logits."""
        return any(estimator.needs_features for estimator in self.estimators)

    def _scores(self, passed: Passed) -> RiskOutput:
        found = {e.name: _score(e, passed) for e in self.estimators}
        return join_scores(passed.logits, found, methods=self.methods)

    def fit(
        self,
        data: Source,
        *,
        train: Train = "heads",
        options: FitOptions | None = None,
        size: int | tuple[int, int] | None = None,
        resize: Resize = "pad",
        out_dir: str | os.PathLike[str] | None = None,
        resume: bool = True,
        progress: bool | None = None,
    ) -> Self:
        """Fit every method on training images; see :func:`sundog.risk.fit.fit_methods`.

        With ``train="all"`` a trained copy takes the place of the wrapped classifier; otherwise
        the prediction stays as it was, bit for bit.
        """
        fitted = fit_methods(
            self.classifier,
            self.estimators,
            data,
            train=train,
            options=options,
            size=size,
            resize=resize,
            out_dir=out_dir,
            resume=resume,
            progress=progress,
        )
        self.classifier, self.parts = fitted.classifier, fitted.parts
        self.eval()
        return self

    def fit_arrays(self, table: FeatureTable, *, seed: int = 0) -> Self:
        """Fit post-hoc methods on features and logits that are already there.

        Args:
            table: of the training images, from :func:`sundog.models.feature_table.collect_features`
                or ``table_from_arrays``.
            seed: of every random choice.

        Raises:
            InputError: a method that is trained by gradient steps on images.
        """
        fit_on_table(self.classifier, self.estimators, table, seed=seed)
        return self

    def score_arrays(self, table: FeatureTable, *, own: bool = False) -> RiskOutput:
        """Return the risks of precomputed features and logits.

        Args:
            table: of this classifier.
            own: they are the images the methods were fitted on: each is left out of its own
                estimate by the methods that can do so.

        Raises:
            ModelStateError: a method that was not fitted.
            InputError: a method that needs images.
        """
        found: dict[str, dict[Field, Score]] = {}
        passed = Passed(features=table.features, logits=table.logits)
        for estimator in self.estimators:
            estimator.require_fitted()
            if own and isinstance(estimator, PostHoc):
                found[estimator.name] = estimator.score_own(table)
            else:
                found[estimator.name] = _score(estimator, passed)
        return join_scores(table.logits, found, methods=self.methods)

    def predict(
        self,
        data: Source,
        *,
        size: int | tuple[int, int] | None = None,
        resize: Resize = "pad",
        batch_size: int = 64,
        own: bool = False,
        progress: bool | None = None,
    ) -> RiskOutput:
        """Return prediction and risks of many images, on the CPU, streamed.

        Images of a set that cannot be decoded are left out and listed in its ``skipped``.

        Args:
            data: an image set, prepared images, a loader of ``(images, labels)`` batches, or
                ``float[n, 3, height, width]``.
            size: (height, width) or side in pixels; ``classifier.input_size`` if None.
            resize: ``pad``, ``crop`` or ``stretch``.
            batch_size: images per pass; the result does not depend on it.
            own: they are the images the methods were fitted on: each is left out of its own
                estimate by the methods that can do so; features of all images are then held.
            progress: show progress; None = on a terminal.

        Raises:
            ModelStateError: a method that was not fitted, or a model in train mode.
            InputError: images or features that are not finite; ``own`` with other images.
        """
        batches = image_batches(
            data,
            size=size or self.classifier.input_size,
            resize=resize,
            batch_size=batch_size,
            progress=progress,
        )
        if own:
            return self._predict_own(batches)
        outputs = []
        for batch in batches:
            output = self(batch.images.to(self.device), return_risk=True).to("cpu")
            outputs.append(replace(output, indices=batch.indices))
        return concat_outputs(outputs)

    def _predict_own(self, batches: Iterable[Batch]) -> RiskOutput:
        self.classifier.require_eval()
        others = [e for e in self.estimators if not isinstance(e, PostHoc)]
        for estimator in self.estimators:
            estimator.require_fitted()
        tables: list[FeatureTable] = []
        found: dict[str, dict[Field, list[Tensor]]] = {e.name: {} for e in self.estimators}
        with torch.no_grad():
            for batch in batches:
                passed = pass_once(
                    self.classifier,
                    batch.images.to(self.device),
                    needs_features=self.needs_features,
                )
                tables.append(as_table(passed, batch))
                for estimator in others:
                    for name, values in _score(estimator, passed).items():
                        found[estimator.name].setdefault(name, []).append(values.cpu())
        table = FeatureTable.joined(tables)
        scores = {
            method: {name: torch.cat(parts) for name, parts in fields.items()}
            for method, fields in found.items()
        }
        for estimator in self.estimators:
            if isinstance(estimator, PostHoc):
                scores[estimator.name] = estimator.score_own(table)
        output = join_scores(table.logits, scores, methods=self.methods)
        return replace(output, indices=table.indices)

    @property
    def device(self) -> torch.device:
        """Where the classifier lives."""
        return self.classifier.device

    def extra_repr(self) -> str:
        """Show the methods and whether they are fitted."""
        shown = [f"{e.name}{'' if e.fitted else ' (not fitted)'}" for e in self.estimators]
        return ", ".join(shown)


def _score(estimator: Estimator, passed: Passed) -> dict[Field, Tensor]:
    """Score on the CPU where nothing is trained (in float64 there), on the device otherwise."""
    if not isinstance(estimator, PostHoc):
        return estimator.score(passed)
    device = passed.logits.device
    on_cpu = Passed(
        features=passed.features.detach().cpu(),
        logits=passed.logits.detach().cpu(),
        images=passed.images,
        classifier=passed.classifier,
    )
    return {name: values.to(device) for name, values in estimator.score(on_cpu).items()}
