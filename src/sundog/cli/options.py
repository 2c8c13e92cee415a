"""Options that several commands share: one meaning, one help text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from sundog.core.errors import InputError, UnknownNameError

Resize = Literal["pad", "crop", "stretch"]
NetworkOutput = Literal["logits", "probabilities", "binary_logit"]
OutputKind = Literal["logit", "probability", "log_probability"]
Spacing = Literal["equal", "log"]
Fill = Literal["black", "grey", "mean", "blur", "noisy_linear"]

Source = Annotated[
    str,
    typer.Argument(
        help="Images: a folder (CLASS/*.jpg), a .csv or .parquet manifest, an .h5 file, "
        "'digits', 'faces', 'photos', 'torchvision:NAME' or 'hf:FOLDER'.",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="Classifier: 'efficientnet-lite0', 'timm:NAME', 'torchvision:NAME', 'hf:NAME', "
        "a folder written by 'sundog train', or a TorchScript, .pt2 or .onnx file.",
    ),
]
Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", help="Weights (.safetensors, or .pt read safely).")
]
Classes = Annotated[
    str | None,
    typer.Option(
        "--classes",
        help="Classes to keep: 'auto' (those the image set has), 'imagenette', or numbers or names "
        "separated by commas. Probabilities are taken over the kept classes.",
    ),
]
ClassNames = Annotated[
    str | None,
    typer.Option("--class-names", help="Names of the classes, separated by commas."),
]
Split = Annotated[
    str | None, typer.Option("--split", help="Part of the image set: train, validation, ...")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Use this many images, drawn evenly by class with --seed."),
]
Size = Annotated[
    int | None,
    typer.Option("--size", min=1, help="Side in pixels; the classifier's own size if not given."),
]
ResizeOption = Annotated[
    str, typer.Option("--resize", help="How images are brought to size: pad, crop or stretch.")
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, mps or auto.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random choice.")]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Images per batch.")]
Download = Annotated[
    bool, typer.Option("--download", help="Allow downloading images or weights that are missing.")
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean",
        help="What the network subtracts per channel, in [0, 1] units, e.g. 0.485,0.456,0.406. "
        "Needed for TorchScript, .pt2 and .onnx files, which do not say.",
    ),
]
Std = Annotated[
    str | None, typer.Option("--std", help="What it divides by per channel, as --mean.")
]
NetworkOutputOption = Annotated[
    str,
    typer.Option(
        "--network-output", help="What the network returns: logits, probabilities or binary_logit."
    ),
]
PathColumn = Annotated[
    str | None,
    typer.Option("--path-column", help="Column of a manifest with the paths; path if not given."),
]
LabelColumn = Annotated[
    str | None, typer.Option("--label-column", help="Column with the labels; label if not given.")
]
Palette = Annotated[
    str,
    typer.Option(
        "--palette", help="Colours of the overlay: red_blue, orange_purple or magenta_cyan."
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="Folder to write; an interrupted run goes on there.")
]
FigureKindOption = Annotated[
    str, typer.Option("--figures", help="Files in the run's figures folder: png or svg.")
]
Methods = Annotated[
    str,
    typer.Option(
        "--methods",
        help="Methods separated by commas ('sundog list'), with parameters as "
        "name:key=value:key=value, e.g. occlusion:grid=15. 'all' takes every method.",
    ),
]
PRACTICAL = "occlusion,gradient_norm,gradient_x_input,integrated_gradients,grad_cam"
Cue = Annotated[
    str,
    typer.Option(
        "--cue",
        help="Cue (sundog list cues), with parameters as name:key=value, e.g. patch:size=0.2.",
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        "--strength", min=0.0, max=1.0, help="Probability that the cue agrees with the label."
    ),
]


def names(text: str | None) -> list[str] | None:
    """Split 'a, b' into ['a', 'b']; None stays None."""
    if text is None:
        return None
    return [part.strip() for part in text.split(",") if part.strip()]


def classes(text: str | None) -> str | list[int] | list[str] | None:
    """Read --classes: a preset name, numbers, or names."""
    parts = names(text)
    if parts is None:
        return None
    if all(part.isdigit() for part in parts):
        return [int(part) for part in parts]
    return parts[0] if len(parts) == 1 else parts


def channels(option: str, text: str | None) -> tuple[float, ...] | None:
    """Read --mean or --std: one number for all channels, or three."""
    parts = names(text)
    if parts is None:
        return None
    try:
        values = tuple(float(part) for part in parts)
    except ValueError:
        values = ()
    if len(values) not in (1, 3) or not all(math.isfinite(value) for value in values):
        raise InputError(option, expected="one number, or three with commas", got=repr(text))
    return values * 3 if len(values) == 1 else values


def network_output(text: str) -> NetworkOutput:
    """Read --network-output."""
    return choice("--network-output", text, get_args(NetworkOutput))


def palette(text: str) -> str:
    """Read --palette."""
    return choice("--palette", text, ("red_blue", "orange_purple", "magenta_cyan"))


def resize(text: str) -> Resize:
    """Read --resize."""
    return choice("--resize", text, get_args(Resize))


def output(text: str | None) -> OutputKind | None:
    """Read --output."""
    return None if text is None else choice("--output", text, get_args(OutputKind))


def figure_kind(text: str) -> Literal["png", "svg"]:
    """Read --figures."""
    kind: Literal["png", "svg"] = choice("--figures", text, ("png", "svg"))
    return kind


def spacings(text: str) -> list[Spacing]:
    """Read --spacing."""
    return [choice("--spacing", part, get_args(Spacing)) for part in names(text) or []]


def fills(text: str | None) -> list[Fill] | None:
    """Read --fills."""
    parts = names(text)
    return None if parts is None else [choice("--fills", part, get_args(Fill)) for part in parts]


def command_line(arguments: Sequence[str]) -> str:
    """Return the command as it can be typed again."""
    return shlex.join(["sundog", *arguments[1:]])


def choice(option: str, text: str, known: Sequence[str]) -> Any:
    """Return ``text`` if it is one of ``known``; suggest the nearest otherwise."""
    if text not in known:
        raise UnknownNameError(option, text, known)
    return text


def percent(measured: Any) -> str:
    """Return a share with its interval, as the tables print it."""
    if measured is None or measured.value is None:
        return "-"
    if measured.low is None:
        return f"{measured.value:.1%}"
    return f"{measured.value:.1%} [{measured.low:.1%}, {measured.high:.1%}]"
