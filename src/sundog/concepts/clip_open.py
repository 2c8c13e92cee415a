"""CLIP models that open_clip reads: its names with a tag or a file, folders, ids of the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow
from torch import Tensor

from sundog.concepts.clip_model import ClipModel
from sundog.concepts.hub_offline import hub_offline, no_root_handler
from sundog.core.errors import (
    CheckpointError,
    InputError,
    MissingExtraError,
    UnknownNameError,
    first_line,
)
from sundog.data.content import Pixels

HUB = "hf-hub:"
FOLDER = "local-dir:"
URL_CACHE = "~/.cache/clip"
"""Where open_clip keeps what it has fetched from plain addresses."""
DEFAULT_FILE = "open_clip_pytorch_model.bin"
SAFE_FILE = "open_clip_model.safetensors"


@dataclass(frozen=True)
class _Weights:
    """A file, and what its tag says of the network it belongs to."""

    file: str | None
    quick_gelu: bool
    preparation: Mapping[str, Any]


def is_open_clip_name(name: str) -> bool:
    """Return whether open_clip is installed and has a network of this name."""
    try:
        import open_clip
    except ImportError:
        return False
    return name.replace("/", "-") in open_clip.list_models()


def open_open_clip(
    name: str,
    *,
    pretrained: str | os.PathLike[str] | None,
    download: bool,
    device: torch.device,
) -> ClipModel:
    """Open a network of open_clip with its weights; pickle files are read as plain tensors.

    Args:
        name: of a network (``ViT-B-32``), ``hf-hub:ORG/NAME``, or a folder with
            ``open_clip_config.json``.
        pretrained: tag or file, for a name alone.
        download: whether files that are not on this machine may be fetched.
        device: where the network runs.

    Raises:
        UnknownNameError: no such network or tag.
        InputError: the weights are not on this machine, or not chosen.
        CheckpointError: weights that cannot be read or do not fit.
        MissingExtraError: open_clip is not installed.
    """
    try:
        import open_clip
    except ImportError as error:
        raise MissingExtraError(
            "open-clip-torch", extra="clip", purpose=f"CLIP {name!r}"
        ) from error
    plain = not Path(name).is_dir() and not name.startswith(HUB)
    if plain:
        identifier = name.replace("/", "-")
        weights = _find_weights(open_clip, identifier, pretrained, download)
    else:
        if pretrained is not None:
            raise InputError(
                "pretrained", expected="left out: the folder or id has its own weights", got="one"
            )
        identifier = name if name.startswith(HUB) else f"{FOLDER}{name}"
        weights = _Weights(None, False, {})
    with hub_offline(download=download), no_root_handler():
        network = _network(open_clip, identifier, weights)
        tokenizer = _tokenizer(open_clip, identifier, download)
    network = network.eval().to(device)
    settings = dict(network.visual.preprocess_cfg)
    rule = open_clip.transform.PreprocessCfg(
        **{f.name: settings[f.name] for f in fields(open_clip.transform.PreprocessCfg)}
    )
    transform = open_clip.transform.image_transform_v2(rule, is_train=False)
    limit = int(tokenizer.context_length)

    def prepare(pixels: Pixels) -> Tensor:
        return transform(Pillow.fromarray(pixels))

    def encode_texts(texts: Sequence[str]) -> Tensor:
        for text in texts:
            count = _length(tokenizer, text)
            if count > limit:
                raise InputError(
                    "The text of a concept with its class",
                    expected=f"of at most {limit} tokens",
                    got=f"{count} tokens",
                )
        return network.encode_text(tokenizer(list(texts)).to(device))

    with torch.no_grad():
        width = int(encode_texts(["a photo"]).shape[1])
    return ClipModel(
        label=name if pretrained is None else f"{name} {os.fspath(pretrained)}",
        network=network,
        width=width,
        prepare=prepare,
        preparation={key: _plain(value) for key, value in asdict(rule).items()},
        encode_images=lambda batch: network.encode_image(batch),
        encode_texts=encode_texts,
    )


def _find_weights(
    open_clip: Any, name: str, pretrained: str | os.PathLike[str] | None, download: bool
) -> _Weights:
    known = open_clip.list_models()
    if name not in known:
        raise UnknownNameError("open_clip model", name, known)
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained is None:
        raise InputError(
            "pretrained",
            expected=f"given for {name!r}: a file of weights, or a tag",
            got="None",
            hint=f"Tags: {', '.join(tags)}." if tags else "open_clip has no tag for it.",
        )
    given = os.fspath(pretrained)
    if Path(given).is_file():
        return _Weights(given, False, {})
    about = open_clip.get_pretrained_cfg(name, given)
    if not about:
        raise UnknownNameError(
            f"pretrained of {name!r}", given, tags, hint="Or the path of a file that exists."
        )
    file = _on_this_machine(about)
    if file is None and download:
        with no_root_handler():
            file = open_clip.download_pretrained(about)
    if not file:
        raise InputError(
            f"The weights {given!r} of {name!r}",
            expected="on this machine",
            got=f"none in the caches ({about.get('hf_hub') or about.get('url')})",
            hint="Pass download=True to fetch them once, or the path of a file as pretrained.",
        )
    names = [f.name for f in fields(open_clip.transform.PreprocessCfg)]
    rule = {key: about[key] for key in names if about.get(key) is not None}
    return _Weights(str(file), bool(about.get("quick_gelu", False)), rule)


def _on_this_machine(about: Mapping[str, Any]) -> str | None:
    """Return the file of a tag that an earlier download has left, without asking the network."""
    if about.get("file"):
        return str(about["file"])
    if about.get("hf_hub"):
        from huggingface_hub import try_to_load_from_cache

        repository, _, file = str(about["hf_hub"]).rpartition("/")
        file = file or DEFAULT_FILE
        candidates = [SAFE_FILE] if file == DEFAULT_FILE else []
        if file.endswith((".bin", ".pth")):
            candidates.append(f"{file[:-4]}.safetensors")
        for candidate in (*candidates, file):
            found = try_to_load_from_cache(repository, candidate)
            if isinstance(found, str):
                return found
    if about.get("url"):
        kept = Path(URL_CACHE).expanduser() / str(about["url"]).rpartition("/")[2]
        if kept.is_file():
            return str(kept)
    return None


def _network(open_clip: Any, identifier: str, weights: _Weights) -> Any:
    try:
        return open_clip.create_model(
            identifier,
            pretrained=weights.file,
            precision="fp32",
            device="cpu",
            force_quick_gelu=weights.quick_gelu,
            force_preprocess_cfg=dict(weights.preparation),
            pretrained_image=False,
            pretrained_text=False,
            require_pretrained=True,
            weights_only=True,
        )
    except Exception as error:  # a broken file or folder makes open_clip raise almost any kind
        raise CheckpointError(
            f"CLIP {identifier!r}",
            expected="on this machine, with plain tensors that fit the network",
            got=first_line(error),
            hint="Weights must be safetensors or torch.save of a state dict; files with code in "
            "(TorchScript) are not opened. Pass download=True to fetch what is missing.",
        ) from error


def _tokenizer(open_clip: Any, identifier: str, download: bool) -> Any:
    if "siglip" in identifier.lower() and not identifier.startswith((HUB, FOLDER)):
        about = open_clip.get_model_config(identifier) or {}
        if not about.get("text_cfg", {}).get("hf_tokenizer_name") and not download:
            raise InputError(
                f"The tokenizer of {identifier!r}",
                expected="fetched with download=True",
                got="download=False",
                hint="open_clip reads this one from the network each time.",
            )
    try:
        return open_clip.get_tokenizer(identifier)
    except Exception as error:  # transformers raises almost any kind for a missing file
        raise InputError(
            f"The tokenizer of CLIP {identifier!r}",
            expected="on this machine",
            got=first_line(error),
            hint="Pass download=True to fetch it once.",
        ) from error


def _length(tokenizer: Any, text: str) -> int:
    """Return the number of tokens with the marks of start and end, before any cut."""
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is not None:
        return len(inner(tokenizer.clean_fn(text)).input_ids)
    return len(tokenizer.encode(text)) + 2


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
