"""The sizes of a RAM network: two published ones by name, any other as a table of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from sundog.core.errors import InputError, UnknownNameError

Kind = Literal["ram", "ram++"]
KINDS: dict[str, Kind] = {"ram": "ram", "ram++": "ram++", "ram_plus": "ram++", "ramplus": "ram++"}
PATCH = 4
"""Pixels per side of a patch; each later stage of the image encoder halves the map."""
PUBLISHED_SIZE = 384


@dataclass(frozen=True)
class RamArchitecture:
    """What decides the shapes of all weights.

    Attributes:
        embed_dim: channels of the first stage; each later stage doubles them.
        depths: blocks per stage.
        num_heads: attention heads per stage.
        window_size: patches per side of an attention window.
        image_size: side of the square input in pixels.
        text_width: length of a tag's (or description's) text embedding.
        hidden_size: channels of the tagging head.
        head_layers: layers of the tagging head.
        head_heads: attention heads of the tagging head.
        inner_size: channels inside the tagging head's feed-forward step.
        descriptions: text embeddings per tag in RAM++; RAM has one.

    Raises:
        InputError: numbers that are not positive, or that do not divide each other.
    """

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    window_size: int
    image_size: int = PUBLISHED_SIZE
    text_width: int = 512
    hidden_size: int = 768
    head_layers: int = 2
    head_heads: int = 4
    inner_size: int = 3072
    descriptions: int = 51

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            if not numbers or not all(type(n) is int and n > 0 for n in numbers):
                raise InputError(
                    f"architecture: {field.name}", expected="whole, above 0", got=repr(value)
                )
        if len(self.depths) != len(self.num_heads):
            raise InputError(
                "architecture: num_heads",
                expected=f"one per stage ({len(self.depths)})",
                got=str(len(self.num_heads)),
            )
        if self.hidden_size % self.head_heads or any(
            self.width(stage) % heads for stage, heads in enumerate(self.num_heads)
        ):
            raise InputError("architecture: widths", expected="multiples of the numbers of heads")
        last = PATCH * 2 ** (len(self.depths) - 1)
        if self.image_size % last or any(
            self.side(stage) % self.window(stage) for stage in range(len(self.depths))
        ):
            raise InputError(
                "architecture: image_size",
                expected=f"a multiple of {last} pixels whose maps are cut into whole windows of "
                f"{self.window_size} patches",
                got=str(self.image_size),
            )

    def width(self, stage: int) -> int:
        """Return the channels of a stage."""
        return self.embed_dim * 2**stage

    def side(self, stage: int) -> int:
        """Return the patches per side of a stage's map."""
        return self.image_size // (PATCH * 2**stage)

    def window(self, stage: int) -> int:
        """Return the patches per side of a stage's windows: never more than its map has."""
        return min(self.window_size, self.side(stage))

    @property
    def vision_width(self) -> int:
        """Channels that leave the image encoder."""
        return self.width(len(self.depths) - 1)


ARCHITECTURES: dict[str, RamArchitecture] = {
    "swin_l": RamArchitecture(192, (2, 2, 18, 2), (6, 12, 24, 48), window_size=12),
    "swin_b": RamArchitecture(128, (2, 2, 18, 2), (4, 8, 16, 32), window_size=12),
}
"""Swin Transformer, large and base; the published RAM and RAM++ weights are ``swin_l``."""


def choose_architecture(
    given: str | Mapping[str, Any] | RamArchitecture, *, image_size: int | None = None
) -> RamArchitecture:
    """Return the sizes by name, from a table of numbers, or as they are.

    The window of a named one follows the image size, so that the last map is one window: 12
    patches for 384 pixels, 7 for 224, as published.

    Args:
        given: ``"swin_l"``, ``"swin_b"``, or the fields of :class:`RamArchitecture`.
        image_size: side in pixels instead of the architecture's own.

    Raises:
        UnknownNameError: no such name, or no such field.
        InputError: numbers that do not fit each other, or a field that is missing.
    """
    if isinstance(given, str):
        if given not in ARCHITECTURES:
            raise UnknownNameError("architecture", given, ARCHITECTURES)
        found = ARCHITECTURES[given]
        if image_size is None:
            return found
        if type(image_size) is not int or image_size < 32 or image_size % 32:
            raise InputError("image_size", expected="a multiple of 32 pixels", got=repr(image_size))
        return replace(found, image_size=image_size, window_size=image_size // 32)
    if isinstance(given, RamArchitecture):
        return given if image_size is None else replace(given, image_size=image_size)
    known = [field.name for field in fields(RamArchitecture)]
    for name in given:
        if name not in known:
            raise UnknownNameError("field of the architecture", str(name), known)
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list | tuple) else v for k, v in given.items()
    }
    if image_size is not None:
        values["image_size"] = image_size
    missing = [n for n in ("embed_dim", "depths", "num_heads", "window_size") if n not in values]
    if missing:
        raise InputError("architecture", expected=f"with {missing[0]!r}", got="none")
    return RamArchitecture(**values)
