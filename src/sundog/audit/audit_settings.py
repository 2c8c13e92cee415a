"""What an audit does: its stages and how each looks; one object for command, library, manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sundog.audit.search_settings import SearchSettings
from sundog.audit.taggers import DEFAULT_TAGGERS
from sundog.core.errors import InputError, UnknownNameError
from sundog.risk.wrapping import DEFAULT_METHODS

STAGES = ("performance", "concepts", "findings", "cues", "explanations", "risk")
"""In the order in which they run."""
NEEDS: dict[str, tuple[str, ...]] = {
    "performance": (),
    "concepts": (),
    "findings": ("performance", "concepts"),
    "cues": (),
    "explanations": (),
    "risk": ("performance",),
}
"""Stage -> the stages whose results it reads; they run too if they are not asked for."""


@dataclass(frozen=True)
class AuditSettings:
    """How an audit looks at a classifier.

    Attributes:
        stages: which of :data:`STAGES` are wanted; what they need is run too.
        taggers: names with parameters, as for ``sundog inspect``.
        group_column: metadata column; groups are class x value. None: groups are the classes.
        search: how findings are searched for; its ``alpha`` also bounds the claims of cues.
        cue_images: images between which components are moved, at most.
        smallest: pull below which a cue does not matter.
        explained: images that are explained, at most.
        methods: attribution methods with parameters, or ``auto``: those of the practical that the
            classifier allows.
        risk_methods: of ``sundog risk``.
        shown: images listed as rare, and as wrongly labelled, at most.
        seed: of every random choice.
    """

    stages: tuple[str, ...] = STAGES
    taggers: str = DEFAULT_TAGGERS
    group_column: str | None = None
    search: SearchSettings = field(default_factory=SearchSettings)
    cue_images: int = 600
    smallest: float = 0.05
    explained: int = 64
    methods: str = "auto"
    risk_methods: tuple[str, ...] = DEFAULT_METHODS
    shown: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what can be checked without images.

        Raises:
            UnknownNameError: unknown stage.
            InputError: no stage, a count below 1, or a share outside (0, 1).
        """
        for name in self.stages:
            if name not in STAGES:
                raise UnknownNameError("stage", name, STAGES)
        if not self.stages:
            raise InputError("stages", expected="at least one", got="none")
        for name, count in (
            ("cue_images", self.cue_images),
            ("explained", self.explained),
            ("shown", self.shown),
        ):
            if count < 1:
                raise InputError(name, expected=">= 1", got=str(count))
        for name, share in (("alpha", self.search.alpha), ("smallest", self.smallest)):
            if not 0 < share < 1:  # NaN neither
                raise InputError(
                    name,
                    expected="between 0 and 1, both excluded",
                    got=str(share),
                    hint="Try 0.05.",
                )

    def wanted(self) -> tuple[str, ...]:
        """Return the stages to run, in order: those asked for and what they need."""
        asked = set(self.stages)
        for name in reversed(STAGES):
            if name in asked:
                asked |= set(NEEDS[name])
        return tuple(name for name in STAGES if name in asked)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        values = {**asdict(self), "search": self.search.to_dict()}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AuditSettings:
        """Return the settings again.

        Raises:
            InputError: fields that are not there, or are of another version.
        """
        given: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        try:
            search = dict(given.pop("search"))
            limits = search["minimal_criteria"]
            search["minimal_criteria"] = None if limits is None else tuple(limits)
            return cls(search=SearchSettings(**search), **given)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "The settings of an audit",
                expected="as this version of Sundog writes them",
                got=str(error),
            ) from error


def read_stages(asked: Sequence[str] | None) -> tuple[str, ...]:
    """Return the stages that were named, in order, all if None.

    Raises:
        UnknownNameError: unknown stage; suggests the nearest.
    """
    if asked is None:
        return STAGES
    for name in asked:
        if name not in STAGES:
            raise UnknownNameError("stage", name, STAGES)
    return tuple(name for name in STAGES if name in asked)
