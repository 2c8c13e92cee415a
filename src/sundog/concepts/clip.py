"""CLIP: rank images by any concept in words, in contrast with the class.

Source: Radford et al., 2021, arXiv 2103.00020; open_clip: Cherti et al., 2022, arXiv 2212.07143.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32

from sundog.concepts.clip_hugging_face import open_hugging_face
from sundog.concepts.clip_model import ClipModel
from sundog.concepts.clip_open import is_open_clip_name, open_open_clip
from sundog.concepts.clip_prompts import Templates
from sundog.concepts.fixed_batches import run_fixed
from sundog.concepts.sorter import Embeddings, Ranking, Sorter, check_concept, check_embeddings
from sundog.concepts.tagger import Rows
from sundog.core.errors import InputError
from sundog.models.device import resolve_device


class ClipSorter(Sorter):
    """Any concept in words, by the similarity of image and text.

    Inside a class: the mean over the templates of ``cos(image, "... class with concept") -
    cos(image, "... class")``, so that what makes the image a member of the class is left out. The
    ranking carries the shortcuts of the CLIP itself: look at its first and last images.

    Args:
        model: see :func:`load_clip`.
        templates: pairs of sentences, see :class:`~sundog.concepts.clip_prompts.Templates`.
        batch_size: images per forward pass, >= 1.
    """

    name = "clip"
    version = 1

    def __init__(
        self, model: ClipModel, *, templates: Templates | None = None, batch_size: int = 32
    ) -> None:
        if batch_size < 1:
            raise InputError("batch_size", expected=">= 1", got=str(batch_size))
        self.model = model
        self.width = model.width
        self.templates = templates or Templates()
        self.batch_size = batch_size
        self._direction = lru_cache(maxsize=4096)(self._text_direction)

    @cached_property
    def _weights(self) -> str:
        return self.model.fingerprint()

    def identity(self) -> dict[str, Any]:
        """Return what the image vectors depend on."""
        return {
            "name": self.name,
            "version": self.version,
            "weights": self._weights,
            "preparation": dict(self.model.preparation),
        }

    def score_identity(self) -> dict[str, Any]:
        """Return what the scores depend on: the image vectors and the templates."""
        return {
            **self.identity(),
            "in_class": [list(pair) for pair in self.templates.in_class],
            "alone": [list(pair) for pair in self.templates.alone],
        }

    def embed(self, rows: Rows) -> Embeddings:
        """Return the image features, ``float32[batch, width]`` with rows of length 1."""
        if not len(rows):
            return np.empty((0, self.width), np.float32)
        features = run_fixed(
            self.model.encode_images,
            [self.model.prepare(pixels) for pixels in rows.images],
            batch_size=self.batch_size,
            device=next(self.model.network.parameters()).device,
        )
        return F.normalize(features.float(), dim=1).numpy()

    def score(self, embeddings: Embeddings, concept: str, class_name: str | None) -> Ranking:
        """Return the mean difference of cosines, in [-2, 2]; higher = more of the concept.

        Args:
            embeddings: of :meth:`embed`.
            concept: in plain words.
            class_name: in plain words; None: contrast with a photo of anything.

        Raises:
            InputError: a concept or class that is no text or too long, or embeddings of another
                sorter.
        """
        found = check_embeddings(embeddings, self.width, sorter=self.name)
        name = None if class_name is None else check_concept(class_name, what="class_name")
        direction = self._direction(check_concept(concept), name)
        return (found @ direction).astype(np.float32)

    @torch.no_grad()
    def _text_direction(self, concept: str, class_name: str | None) -> Float32[np.ndarray, "width"]:
        """Return the mean of the normalised text features with the concept minus those without."""
        with_concept, without = self.templates.fill(concept, class_name)
        features = F.normalize(self.model.encode_texts([*with_concept, *without]).float(), dim=1)
        count = len(with_concept)
        return (features[:count] - features[count:]).mean(dim=0).cpu().numpy()


def load_clip(
    name_or_path: str | os.PathLike[str] = "openai/clip-vit-base-patch32",
    *,
    pretrained: str | os.PathLike[str] | None = None,
    templates: Templates | Sequence[tuple[str, str]] | None = None,
    batch_size: int = 32,
    download: bool = False,
    device: str | torch.device = "cpu",
) -> ClipSorter:
    """Return a CLIP sorter from weights on this machine.

    Args:
        name_or_path: one of

            - a Hugging Face id, ``openai/clip-vit-base-patch32`` (with or without ``hf:``), or a
              folder with ``config.json``: read by transformers;
            - a name of open_clip, ``ViT-B-32``, with ``pretrained``; ``hf-hub:ORG/NAME``; or a
              folder with ``open_clip_config.json``: read by open_clip.
        pretrained: for a name of open_clip: one of its tags (``laion2b_s34b_b79k``), or a file
            (``.safetensors``, ``.pt``, ``.bin``), which is read without running code from it.
        templates: pairs (with the concept, without it) that replace the pairs for classes, or all
            of them as :class:`~sundog.concepts.clip_prompts.Templates`.
        batch_size: images per forward pass, >= 1.
        download: whether weights that are not on this machine may be fetched, once. Otherwise the
            network is not touched.
        device: ``"cpu"``, ``"auto"``, ``"cuda"`` or ``"mps"``.

    Raises:
        InputError: no such name or files on this machine; says what to do.
        CheckpointError: weights that cannot be read or do not fit.
        MissingExtraError: transformers or open_clip is not installed.
    """
    place = resolve_device(device)
    if templates is not None and not isinstance(templates, Templates):
        templates = Templates(in_class=tuple(templates))
    name = os.fspath(name_or_path)
    if _belongs_to_open_clip(name, pretrained):
        model = open_open_clip(name, pretrained=pretrained, download=download, device=place)
    else:
        model = open_hugging_face(name.removeprefix("hf:"), download=download, device=place)
    return ClipSorter(model, templates=templates, batch_size=batch_size)


def _belongs_to_open_clip(name: str, pretrained: object) -> bool:
    folder = Path(name)
    if folder.is_dir():
        return (folder / "open_clip_config.json").is_file()
    if name.startswith("hf:"):
        return False
    return pretrained is not None or name.startswith("hf-hub:") or is_open_clip_name(name)
