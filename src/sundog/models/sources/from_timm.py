"""Networks of timm by name (``timm:resnet18``), with timm's own normalisation and size."""

from __future__ import annotations

from typing import Any

from sundog.core.errors import InputError, MissingExtraError, UnknownNameError
from sundog.models.imagenet import imagenet_names
from sundog.models.sources.source import Request, Source, seeded_weights


def build(request: Request) -> Source:
    """Build ``timm.create_model(name)``; random weights unless ``pretrained``.

    Source:
        Wightman, 2019, PyTorch Image Models.

    Raises:
        MissingExtraError: timm is not installed.
        UnknownNameError: timm has no such network.
        InputError: weights asked for that are not on this machine, without ``download``.
    """
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", extra="zoo", purpose=f"timm:{request.name}") from error
    name = request.name
    if not timm.is_model(name):
        raise UnknownNameError("timm network", name, timm.list_models())
    arguments: dict[str, Any] = {}
    if request.outputs is not None:
        arguments["num_classes"] = request.outputs
    if request.pretrained:
        arguments["pretrained"] = True
        if not request.download:
            arguments["pretrained_cfg_overlay"] = {"file": _cached_weights(name)}
    with seeded_weights(request.seed, f"timm:{name}"):
        network: Any = timm.create_model(name, **arguments)
    config = network.pretrained_cfg
    channels, height, width = config["input_size"]
    outputs = int(network.num_classes)
    own_head = request.outputs is None or request.outputs == config["num_classes"]
    named = bool(request.pretrained) and own_head and outputs == 1000
    return Source(
        network=network,
        weights=f"timm {config.get('tag') or name}" if request.pretrained else "random",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        input_size=(height, width),
        class_names=imagenet_names() if named else None,
        channels=channels,
        recipe={"name": f"timm:{name}", "outputs": outputs},
    )


def _cached_weights(name: str) -> str:
    """Return the path of timm's weights in the local cache, without asking the network."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    config = timm.get_pretrained_cfg(name)
    repository = getattr(config, "hf_hub_id", None)
    for file in ("model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(repository, file) if repository else None
        if isinstance(found, str):
            return found
    raise InputError(
        f"The weights of 'timm:{name}'",
        expected="on this machine",
        got="none in the cache",
        hint="Pass download=True to fetch them once, or ckpt_path=... to load a file.",
    )
