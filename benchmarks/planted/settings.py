"""One setting: which images, which cue, how strong, which network, which seeds."""

from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.planted.cue_ranges import draw_parameters, draw_strength
from sundog.core.seeds import derive_seed

HELD_OUT_FROM = 4000
"""Seeds below were looked at while the tools were tuned; seeds from here on never were."""
NO_SHORTCUT = ("rare-group", "noisy-labels")


@dataclass(frozen=True)
class Setting:
    """One row of the plan: a classifier and the images on which it is judged.

    Attributes:
        data: key of :data:`benchmarks.planted.data_sets.DATA`.
        cue: key of :data:`benchmarks.planted.cue_ranges.RANGES`; ``none`` for clean images.
        network: name for ``sundog.get_model``.
        seed: of the cue's parameters, strength and draws.
        model_seed: of the images, initial weights and order; shared with the twin.
        strength: share of training images whose cue agrees with the label; 0 = a control, trained
            without the cue: the twin of the biased classifier.
        shown: the same share in the images on which the classifier is judged; 0 = clean images.
        parameters: of the cue.
    """

    data: str
    cue: str
    network: str
    seed: int
    model_seed: int
    strength: float
    shown: float
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def control(self) -> bool:
        """Whether the classifier never saw the cue."""
        return self.strength == 0

    @property
    def held_out(self) -> bool:
        """Whether the setting was never looked at while the tools were tuned."""
        return self.seed >= HELD_OUT_FROM

    @property
    def shortcut(self) -> bool:
        """Whether the cue is a shortcut, whose finding is scored."""
        return self.cue not in (*NO_SHORTCUT, "none")

    @property
    def id(self) -> str:
        """A name that says what it is, e.g. ``digits-patch-95-small-cnn-7`` or ``...-7-twin``."""
        if self.cue == "none":
            return f"{self.data}-clean-{self.network}-{self.seed}"
        level = "" if self.cue in NO_SHORTCUT else f"-{round(100 * self.shown)}"
        twin = "-twin" if self.control else ""
        return f"{self.data}-{self.cue}{level}-{self.network}-{self.seed}{twin}"

    @property
    def model_id(self) -> str:
        """The folder of its classifier; controls of one network and seed share theirs."""
        if self.control:
            return f"{self.data}-clean-{self.network}-m{self.model_seed}"
        return self.id

    def twin(self) -> "Setting":
        """Return the control beside it: the same images, a classifier that never saw the cue."""
        return replace(self, strength=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return everything that defines it, ready for JSON."""
        names = ("data", "cue", "network", "seed", "model_seed", "strength", "shown", "parameters")
        found = {name: getattr(self, name) for name in names}
        return {"id": self.id, "control": self.control, "held_out": self.held_out, **found}


def make_setting(
    data: str, cue: str, network: str, seed: int, *, models: int, strength: float | None = None
) -> Setting:
    """Draw a biased setting.

    Args:
        data: name of the images.
        cue: name of the cue.
        network: name of the network.
        seed: of everything that is drawn.
        models: so many different seeds of networks are used, so that twins can be shared.
        strength: None: drawn.
    """
    if cue in NO_SHORTCUT:
        strength = 1.0
    drawn = draw_strength(cue, data, seed=seed) if strength is None else strength
    return Setting(
        data=data,
        cue=cue,
        network=network,
        seed=seed,
        model_seed=_model_seed(seed, models),
        strength=drawn,
        shown=drawn,
        parameters=draw_parameters(cue, seed=seed),
    )


def make_clean(data: str, network: str, seed: int, *, models: int) -> Setting:
    """Return a control on clean images."""
    return Setting(data, "none", network, seed, _model_seed(seed, models), 0.0, 0.0)


def _model_seed(seed: int, models: int) -> int:
    """Return one of ``models`` seeds, held out if the setting is."""
    return 1000 * (seed // 1000) + derive_seed(seed, "model") % models
