"""Neurons of the classifier's last features as concepts, ranked by importance for the class.

No text and no second model: what the classifier itself looks at, named ``neuron 37`` until a
person has seen its images.

Source: Moayeri, Wang, Singla & Feizi (Spuriosity Rankings), 2022, arXiv 2212.02648; Singla & Feizi
(Salient ImageNet), 2021, arXiv 2110.04301.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from sundog.concepts.fixed_batches import run_fixed
from sundog.concepts.linear_head import LinearHead, linear_head
from sundog.concepts.sorter import Embeddings, Ranking, Sorter, check_concept, check_embeddings
from sundog.concepts.tagger import Rows
from sundog.core.errors import InputError, UnknownNameError
from sundog.data.transforms import Resize, check_size, resize_image
from sundog.models.classifier import Classifier
from sundog.models.features import extract_features
from sundog.models.fingerprint import model_fingerprint

_NAME = re.compile(r"neuron (\d+)")


class NeuronSorter(Sorter):
    """Ranks images by single features of the classifier under test.

    The vector of an image are the features ``r(x)`` that the last linear layer decides from; the
    score of the concept ``neuron i`` is ``r_i(x)``, the same in every class: inside a class it is
    its own contrast. :meth:`propose` names the neurons that matter for each class.

    Args:
        classifier: in eval mode, with a linear last layer.
        features: neurons proposed per class (the paper's studies took 5 and 15).
        size: (height, width) or side of the images in pixels; ``classifier.input_size`` if None.
        resize: how images are brought to that size: ``pad``, ``crop`` or ``stretch``.
        layer: dotted name of the last linear layer and ``:input``; ``classifier.feature_layer``
            if None.
        batch_size: images per forward pass, >= 1.

    Raises:
        LayerError: no feature layer, or a head that is not linear in it.
        InputError: no size, or a bad number.
        ModelStateError: a classifier in train mode.
    """

    name = "features"
    version = 1

    def __init__(
        self,
        classifier: Classifier,
        *,
        features: int = 5,
        size: int | tuple[int, int] | None = None,
        resize: Resize = "pad",
        layer: str | None = None,
        batch_size: int = 32,
    ) -> None:
        for what, number in (("features", features), ("batch_size", batch_size)):
            if number < 1:
                raise InputError(what, expected=">= 1", got=str(number))
        chosen = size or classifier.input_size
        if chosen is None:
            raise InputError(
                "size",
                expected="given, since the classifier does not say its own",
                got="None",
                hint="Pass size=(height, width) in pixels.",
            )
        self.classifier = classifier
        self.size = check_size(chosen)
        self.resize = resize
        self.features = features
        self.batch_size = batch_size
        self.head: LinearHead = linear_head(classifier, size=self.size, layer=layer)
        self.width = self.head.weight.shape[1]

    def identity(self) -> dict[str, Any]:
        """Return what the features depend on."""
        return {
            "name": self.name,
            "version": self.version,
            "classifier": model_fingerprint(self.classifier),
            "layer": self.head.layer,
            "size": list(self.size),
            "resize": self.resize,
        }

    def embed(self, rows: Rows) -> Embeddings:
        """Return the features of each image, ``float32[batch, features]``."""
        self.classifier.require_eval()
        if not len(rows):
            return np.empty((0, self.width), np.float32)
        features = run_fixed(
            partial(extract_features, self.classifier, layer=self.head.layer),
            [resize_image(pixels, self.size, resize=self.resize) for pixels in rows.images],
            batch_size=self.batch_size,
            device=self.classifier.device,
        )
        return features.float().numpy()

    def score(self, embeddings: Embeddings, concept: str, class_name: str | None) -> Ranking:
        """Return the activation of the neuron in each image; higher = more of what it sees.

        Args:
            embeddings: of :meth:`embed`.
            concept: ``neuron i``.
            class_name: not used.

        Raises:
            UnknownNameError: a concept that is no neuron of this classifier.
        """
        found = check_embeddings(embeddings, self.width, sorter=self.name)
        return found[:, self.neuron(concept)].copy()

    def neuron(self, concept: str) -> int:
        """Return i of ``neuron i``.

        Raises:
            UnknownNameError: another text, or a number that the features do not have.
        """
        match = _NAME.fullmatch(check_concept(concept))
        if match is None or int(match[1]) >= self.width:
            raise UnknownNameError(
                "A concept of the sorter 'features'",
                concept,
                (),
                hint=f"Use 'neuron 0' to 'neuron {self.width - 1}'.",
            )
        return int(match[1])

    def propose(
        self,
        embeddings: Embeddings,
        labels: Int64[np.ndarray, "images"],
        class_names: Sequence[str],
    ) -> dict[str, tuple[str, ...]]:
        """Return the most important neurons of each class, most important first.

        A class without a correctly classified image has none.

        Args:
            embeddings: of :meth:`embed`; rows of NaN are left out.
            labels: class of each image, -1 = unlabelled.
            class_names: one per class; each must be one of the classifier's, if that has names.
        """
        importance = self.importance(embeddings, labels, class_names)
        return {
            name: tuple(
                f"neuron {i}"
                for i in np.argsort(-row, kind="stable")[: self.features]
                if not np.isnan(row).any()
            )
            for name, row in zip(class_names, importance, strict=True)
        }

    def importance(
        self,
        embeddings: Embeddings,
        labels: Int64[np.ndarray, "images"],
        class_names: Sequence[str],
    ) -> Float64[np.ndarray, "classes features"]:
        """Return how much each feature speaks for each class.

        ``importance_i(c) = mean of r_i(x) w_ci`` over the images of class c that are classified
        correctly; NaN for a class that has none. Of two classes, ``w`` is the difference that
        decides between them.

        Args:
            embeddings: of :meth:`embed`; rows of NaN are left out.
            labels: class of each image, -1 = unlabelled.
            class_names: as in :meth:`propose`.

        Raises:
            UnknownNameError: a class that the classifier does not have.
            InputError: labels of another length.
        """
        found = check_embeddings(embeddings, self.width, sorter=self.name)
        labels = np.asarray(labels)
        if labels.shape != (len(found),):
            raise InputError(
                "labels", expected=f"one per image ({len(found)})", got=str(labels.shape)
            )
        columns = self._columns(class_names)
        predicted = self.head.predict(found)
        known = ~np.isnan(found).any(axis=1)
        result = np.full((len(class_names), self.width), np.nan)
        for index, column in enumerate(columns):
            correct = known & (labels == index) & (predicted == column)
            if correct.any():
                mean = found[correct].mean(axis=0, dtype=np.float64)
                result[index] = mean * self.head.weight[column]
        return result

    def _columns(self, class_names: Sequence[str]) -> list[int]:
        own = self.classifier.class_names
        if own is None:
            own = tuple(str(name) for name in class_names)
            if len(own) != len(self.head.weight):
                raise InputError(
                    "class_names",
                    expected=f"one per class of the classifier ({len(self.head.weight)})",
                    got=f"{len(own)} names",
                )
        table = {_plain(name): column for column, name in enumerate(own)}
        for name in class_names:
            if _plain(name) not in table:
                raise UnknownNameError("class of the classifier", str(name), own)
        return [table[_plain(name)] for name in class_names]


def _plain(name: str) -> str:
    """Return a class name without case and underscores: reports show names with spaces."""
    return " ".join(str(name).replace("_", " ").split()).lower()


def spuriosity(activations: Embeddings, features: Sequence[int]) -> Float64[np.ndarray, "images"]:
    """Return how strongly the images of one class show some features, on average.

    ``mean over i in features of (r_i(x) - mu_i) / sigma_i``, mu and sigma (population) over the
    images of the class. A feature that is the same in all of them counts 0.

    Args:
        activations: ``r(x)`` of the images of one class; rows of NaN give NaN.
        features: the features that a person has judged spurious, >= 1.

    Returns:
        In standard deviations; high = many spurious cues, low = few.

    Raises:
        InputError: no feature, or one that does not exist.

    Source: Moayeri et al., 2022, arXiv 2212.02648, section 3.
    """
    chosen = list(features)
    width = activations.shape[1]
    if not chosen or min(chosen) < 0 or max(chosen) >= width:
        raise InputError(
            "features", expected=f"at least one in 0..{width - 1}", got=str(chosen[:5])
        )
    values = np.asarray(activations)[:, chosen].astype(np.float64)
    known = ~np.isnan(values).any(axis=1)
    result = np.full(len(values), np.nan)
    if known.any():
        part = values[known]
        spread = part.std(axis=0)
        centred = part - part.mean(axis=0)
        varies = np.ptp(part, axis=0) > 0
        result[known] = np.divide(
            centred, spread, out=np.zeros_like(centred), where=varies[None, :]
        ).mean(axis=1)
    return result
