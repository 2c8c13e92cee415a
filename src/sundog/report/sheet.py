"""A sheet: a matplotlib figure laid out in inches from the top left, with text that fits.

Every picture of the package is drawn here: no pyplot, and a size that is known before anything is
drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D

from sundog.core.errors import InputError
from sundog.report.style import DPI, FAINT, INK, LARGEST, MUTED, drawable, families


class Sheet:
    """A figure whose parts are placed in inches from its top left corner."""

    def __init__(self, width: float, height: float) -> None:
        """Open an empty white sheet.

        Raises:
            InputError: wider or taller than :data:`LARGEST`.
        """
        if not (0 < width <= LARGEST and 0 < height <= LARGEST):
            raise InputError(
                "figure",
                expected=f"at most {LARGEST:g} × {LARGEST:g} inches",
                got=f"{width:.1f} × {height:.1f}",
                hint="Put fewer rows or columns on a page.",
            )
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=DPI)
        canvas: Any = FigureCanvasAgg(self.figure)
        self._renderer = canvas.get_renderer()

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Place axes; all four numbers in inches."""
        return self.figure.add_axes(
            (
                left / self.width,
                1 - (top + height) / self.height,
                width / self.width,
                height / self.height,
            )
        )

    def picture(self, pixels: Any, left: float, top: float, width: float, height: float) -> Axes:
        """Place a picture, centred in its box with its aspect kept, with a hairline frame."""
        rows, columns = pixels.shape[:2]
        scale = min(width / columns, height / rows)
        wide, tall = columns * scale, rows * scale
        box = self.axes(left + (width - wide) / 2, top + (height - tall) / 2, wide, tall)
        # Small pictures (digits) keep their pixels, large ones are smoothed when they shrink.
        box.imshow(pixels, interpolation="nearest" if rows < 64 else "antialiased", aspect="auto")
        box.set_xticks([])
        box.set_yticks([])
        for spine in box.spines.values():
            spine.set(color=FAINT, linewidth=0.6)
        return box

    def line(self, left: float, top: float, right: float, **look: Any) -> None:
        """Draw a horizontal line at ``top`` from ``left`` to ``right``, all in inches."""
        across = [left / self.width, right / self.width]
        up = 1 - top / self.height
        self.figure.add_artist(Line2D(across, [up, up], transform=self.figure.transFigure, **look))

    def measure(self, text: str, *, size: float, bold: bool = False) -> float:
        """Return the width of one line of text in inches."""
        font = FontProperties(
            family=list(families()), size=size, weight="bold" if bold else "normal"
        )
        width, _, _ = self._renderer.get_text_width_height_descent(text, font, False)
        return float(width) / DPI

    def fit(
        self,
        text: str,
        *,
        width: float,
        size: float,
        lines: int = 1,
        smallest: float = 6.5,
        bold: bool = False,
        before: str = "",
        after: str = "",
    ) -> tuple[str, float]:
        """Wrap, then shrink, then cut a text until it fits; ``before`` and ``after`` are never cut.

        Args:
            text: any text; see :func:`drawable`.
            width: of a line in inches.
            size: of the font in points, to begin with.
            lines: at most this many.
            smallest: size in points below which the text is cut with an ellipsis instead.
            bold: whether the text will be drawn bold.
            before: a mark kept before the text.
            after: a number kept after the text.

        Returns:
            The text with line breaks, and its size in points.
        """
        clean = drawable(text)
        while True:
            wrapped = self._wrap(
                f"{before}{clean}{after}", width=width, size=size, bold=bold, most=lines
            )
            if len(wrapped) <= lines:
                return "\n".join(wrapped), size
            if size - 0.5 < smallest:
                break
            size -= 0.5
        # Cut: the longest beginning that fits. Wrapping is monotone in length, so bisect.
        shortest, longest = 0, len(clean)
        while shortest < longest:
            middle = (shortest + longest + 1) // 2
            candidate = f"{before}{clean[:middle].rstrip()}…{after}"
            broken = self._wrap(candidate, width=width, size=size, bold=bold, most=lines)
            if len(broken) <= lines:
                shortest = middle
            else:
                longest = middle - 1
        cut = f"{before}{clean[:shortest].rstrip()}…{after}"
        broken = self._wrap(cut, width=width, size=size, bold=bold, most=lines)
        return "\n".join(broken[:lines]), size

    def _wrap(self, text: str, *, width: float, size: float, bold: bool, most: int) -> list[str]:
        """Break a text at spaces (then anywhere) into lines no wider than ``width``.

        Stops after one line more than ``most``: it does not fit then, however long it is.
        """
        if self.measure(text, size=size, bold=bold) <= width:
            return [text]
        lines: list[str] = []
        line = ""
        for word in text.split(" "):
            if len(lines) > most:
                return lines
            joined = f"{line} {word}" if line else word
            if self.measure(joined, size=size, bold=bold) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            line = word
            while (
                len(line) > 1
                and len(lines) <= most
                and self.measure(line, size=size, bold=bold) > width
            ):
                # The longest beginning that fits, at least one character.
                cut, longest = 1, len(line) - 1
                while cut < longest:
                    middle = (cut + longest + 1) // 2
                    if self.measure(line[:middle], size=size, bold=bold) <= width:
                        cut = middle
                    else:
                        longest = middle - 1
                lines.append(line[:cut])
                line = line[cut:]
        return [*lines, line]

    def text(
        self,
        text: str,
        left: float,
        top: float,
        *,
        size: float = 9,
        colour: Any = INK,
        bold: bool = False,
        align: str = "left",
        anchor: str = "top",
        rotation: float = 0,
    ) -> None:
        """Write text at a point in inches; it must have been fitted before."""
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            text,
            fontsize=size,
            color=colour,
            fontweight="bold" if bold else "normal",
            horizontalalignment=align,
            verticalalignment=anchor,
            rotation=rotation,
            linespacing=1.25,
        )

    def title(self, title: str, *, left: float = 0.15, top: float = 0.12) -> None:
        """Write the figure's title on one line."""
        if title:
            text, size = self.fit(title, width=self.width - 2 * left, size=11, bold=True)
            self.text(text, left, top, size=size, bold=True)

    def key(
        self, entries: Sequence[tuple[Any, str]], *, left: float = 0.15, bottom: float = 0.3
    ) -> None:
        """Write a row of ``■ meaning`` at the foot of the sheet, each square in its colour."""
        for colour, meaning in entries:
            self.text("■", left, self.height - bottom, size=10, colour=colour, anchor="baseline")
            left += self.measure("■ ", size=10) + 0.02
            self.text(meaning, left, self.height - bottom, size=8, anchor="baseline")
            left += self.measure(meaning, size=8) + 0.22

    def note(self, note: str, *, left: float = 0.15, bottom: float = 0.1, lines: int = 3) -> None:
        """Write small print at the foot of the sheet."""
        if note:
            text, size = self.fit(note, width=self.width - 2 * left, size=7.5, lines=lines)
            self.text(text, left, self.height - bottom, size=size, colour=MUTED, anchor="bottom")
