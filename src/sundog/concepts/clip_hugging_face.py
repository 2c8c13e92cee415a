"""CLIP models that transformers reads: CLIP, SigLIP and others with the same two encoders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image as Pillow
from torch import Tensor

from sundog.concepts.clip_model import ClipModel
from sundog.concepts.hub_offline import hub_offline
from sundog.core.errors import CheckpointError, InputError, MissingExtraError, first_line
from sundog.data.content import Pixels

PADDED = ("siglip",)
"""Kinds whose text encoder was trained on texts padded to the full length."""


def open_hugging_face(name: str, *, download: bool, device: torch.device) -> ClipModel:
    """Open a folder or an id of Hugging Face with transformers.

    Code that a repository brings is never run.

    Args:
        name: folder with ``config.json``, weights, tokenizer and processor, or an id.
        download: whether files that are not on this machine may be fetched.
        device: where the network runs.

    Raises:
        InputError: nothing of that name on this machine, or no pair of encoders.
        CheckpointError: weights that are incomplete or do not fit.
        MissingExtraError: transformers is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", extra="clip", purpose=f"CLIP {name!r}") from error
    with hub_offline(download=download), _quiet(transformers):
        network = _network(transformers, name, download)
        processor = _processor(transformers, name, download)
    network = network.float().eval().to(device)
    images, tokenizer = processor.image_processor, processor.tokenizer
    config = network.config
    limit = int(getattr(config, "text_config", config).max_position_embeddings)
    padded = str(config.model_type).startswith(PADDED)

    def prepare(pixels: Pixels) -> Tensor:
        made = images(images=[Pillow.fromarray(pixels)], return_tensors="pt")
        return made["pixel_values"][0]

    def encode_texts(texts: Sequence[str]) -> Tensor:
        # One at a time: nothing is padded that was not in training.
        return torch.cat([_pooled(network.get_text_features(**tokens(text))) for text in texts])

    def tokens(text: str) -> dict[str, Tensor]:
        count = len(tokenizer(text).input_ids)
        if count > limit:
            raise InputError(
                "The text of a concept with its class",
                expected=f"of at most {limit} tokens",
                got=f"{count} tokens",
            )
        how = {"padding": "max_length", "max_length": limit} if padded else {}
        made = tokenizer(text, return_tensors="pt", **how)
        kept = ("input_ids", "attention_mask")
        return {key: made[key].to(device) for key in kept if key in made}

    with torch.no_grad():
        width = int(encode_texts(["a photo"]).shape[1])
    return ClipModel(
        label=name,
        network=network,
        width=width,
        prepare=prepare,
        preparation=json.loads(images.to_json_string()),
        encode_images=lambda batch: _pooled(network.get_image_features(pixel_values=batch)),
        encode_texts=encode_texts,
    )


def _network(transformers: Any, name: str, download: bool) -> Any:
    try:
        network, info = transformers.AutoModel.from_pretrained(
            name,
            local_files_only=not download,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"CLIP {name!r}",
            expected="a folder that transformers has written, or an id in the local cache",
            got=first_line(error),
            hint="Pass download=True to fetch it once, or copy the repository into a folder and "
            "give its path.",
        ) from error
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"The weights of CLIP {name!r}",
            expected="of the shapes in config.json",
            got=first_line(error),
        ) from error
    missing, wrong = sorted(info["missing_keys"]), sorted(map(str, info["mismatched_keys"]))
    if missing or wrong:
        raise CheckpointError(
            f"The weights of CLIP {name!r}",
            expected="complete",
            got=f"{len(missing)} missing and {len(wrong)} of another shape",
            hint=f"For example {(missing + wrong)[:3]}; they would be random.",
        )
    if not hasattr(network, "get_image_features") or not hasattr(network, "get_text_features"):
        raise InputError(
            f"Model {name!r}",
            expected="one with an image encoder and a text encoder (CLIP, SigLIP)",
            got=type(network).__name__,
        )
    return network


def _processor(transformers: Any, name: str, download: bool) -> Any:
    try:
        processor = transformers.AutoProcessor.from_pretrained(
            name, local_files_only=not download, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError, TypeError) as error:
        raise InputError(
            f"The processor of CLIP {name!r}",
            expected="preprocessor_config.json and a tokenizer, beside the weights",
            got=first_line(error),
            hint="Copy all files of the repository, or pass download=True.",
        ) from error
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise InputError(
            f"The processor of CLIP {name!r}",
            expected="one for images and texts",
            got=type(processor).__name__,
            hint="Copy all files of the repository, or pass download=True.",
        )
    return processor


def _pooled(output: Any) -> Tensor:
    """Return the features: transformers 5 wraps them, transformers 4 does not."""
    return output if isinstance(output, Tensor) else output.pooler_output


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Hide the loading bars, and show them again afterwards if they were shown."""
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
