"""Image classifiers of transformers (``hf:NAME`` or ``hf:FOLDER``), from disk unless told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sundog.core.errors import CheckpointError, InputError, MissingExtraError, first_line
from sundog.models.sources.source import Request, Source, seeded_weights

Normalisation = tuple[tuple[float, ...] | None, tuple[float, ...] | None, tuple[int, int] | None]
WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")


def build(request: Request) -> Source:
    """Build ``AutoModelForImageClassification`` from a folder, the local cache or a download.

    A folder that holds weights loads them; a name loads weights only with ``pretrained``, and
    fetches only with ``download``. Code that a repository brings is never run.

    Raises:
        MissingExtraError: transformers is not installed.
        InputError: nothing of that name on this machine, or a preprocessing that cannot be told.
        CheckpointError: weights that do not fit the configuration.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError(
            "transformers", extra="zoo", purpose=f"hf:{request.name}"
        ) from error
    name = request.name
    folder = Path(name)
    config = _config(transformers, request)
    pretrained = request.pretrained
    if pretrained is None:
        pretrained = folder.is_dir() and any(list(folder.glob(p)) for p in WEIGHT_FILES)
    if not pretrained and request.outputs is not None and request.outputs != config.num_labels:
        config.num_labels = request.outputs
    auto: Any = transformers.AutoModelForImageClassification
    with seeded_weights(request.seed, f"hf:{name}"), _quiet(transformers):
        if pretrained:
            network = _load(auto, request)
        else:
            network = auto.from_config(config)
    mean, std, size = (None, None, None)
    if not request.arguments:
        mean, std, size = _preprocessing(request, config)
    return Source(
        network=network,
        weights=f"hf:{name}" if pretrained else "random",
        mean=mean,
        std=std,
        input_size=size,
        class_names=_class_names(config) if pretrained else None,
        channels=int(getattr(config, "num_channels", 3)),
        recipe={
            "name": f"hf:{name}",
            "outputs": int(config.num_labels),
            "arguments": {"config": config.to_dict()},
        },
    )


def _config(transformers: Any, request: Request) -> Any:
    """Return the configuration: the recipe's, the folder's, the cache's or the hub's."""
    kept = request.arguments.get("config")
    if kept is not None:
        rest = {k: v for k, v in kept.items() if k != "model_type"}
        return transformers.AutoConfig.for_model(kept["model_type"], **rest)
    try:
        return transformers.AutoConfig.from_pretrained(
            request.name, local_files_only=not request.download, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"hf:{request.name}",
            expected="a folder with config.json, or a name in the local cache",
            got=first_line(error),
            hint="Check the path, or pass download=True to fetch it once.",
        ) from error


def _load(auto: Any, request: Request) -> Any:
    try:
        network, info = auto.from_pretrained(
            request.name,
            local_files_only=not request.download,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"The weights of hf:{request.name}",
            expected="on this machine and of the shapes in config.json",
            got=first_line(error),
            hint="Pass download=True to fetch them once, or check the folder.",
        ) from error
    missing, wrong = sorted(info["missing_keys"]), sorted(map(str, info["mismatched_keys"]))
    if missing or wrong:
        raise CheckpointError(
            f"The weights of hf:{request.name}",
            expected="complete",
            got=f"{len(missing)} missing and {len(wrong)} of another shape",
            hint=f"For example {(missing + wrong)[:3]}; they would be random.",
        )
    return network


def _class_names(config: Any) -> tuple[str, ...]:
    table = config.id2label
    return tuple(str(table[index]) for index in range(int(config.num_labels)))


def _preprocessing(request: Request, config: Any) -> Normalisation:
    """Return mean and std for images in [0, 1], and the size, from the processor's file.

    The processor computes ``(pixel * rescale_factor - mean) / std`` for pixels in 0..255.
    """
    from transformers.image_processing_base import ImageProcessingMixin

    side = getattr(config, "image_size", None)
    size: tuple[int, int] | None = None
    if isinstance(side, int):
        size = (side, side)
    elif isinstance(side, (list, tuple)) and len(side) == 2:
        size = (int(side[0]), int(side[1]))
    try:
        rule, _ = ImageProcessingMixin.get_image_processor_dict(
            request.name, local_files_only=not request.download
        )
    except (OSError, ValueError):
        return None, None, size  # the zoo then asks for mean and std
    if rule.get("do_flip_channel_order"):
        raise InputError(
            f"hf:{request.name}",
            expected="a network that takes red, green, blue",
            got="one whose processor flips the channels",
            hint="Wrap it in an nn.Module that flips them, and pass that.",
        )
    return *normalisation(rule), _size(rule) or size


def normalisation(rule: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return (mean, std) in [0, 1] units that equal the processor's rescaling and normalising."""
    scale = (
        255 * float(rule.get("rescale_factor", 1 / 255)) if rule.get("do_rescale", True) else 255
    )
    shift = 1.0 if rule.get("rescale_offset") else 0.0
    mean, std = [0.0] * 3, [1.0] * 3
    if rule.get("do_normalize", True) and rule.get("image_mean") is not None:
        mean, std = _three(rule["image_mean"]), _three(rule["image_std"])
    again = _three(rule["image_std"]) if rule.get("include_top") else [1.0] * 3
    centre = tuple((m + shift) / scale for m in mean)
    spread = tuple(s * a / scale for s, a in zip(std, again, strict=True))
    return centre, spread


def _three(value: Any) -> list[float]:
    return [float(v) for v in value] if isinstance(value, (list, tuple)) else [float(value)] * 3


def _size(rule: dict[str, Any]) -> tuple[int, int] | None:
    size = rule.get("crop_size") if rule.get("do_center_crop") else rule.get("size")
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict) and "height" in size:
        return int(size["height"]), int(size["width"])
    if isinstance(size, dict) and "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    return None


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
