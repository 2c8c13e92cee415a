"""A figure as an array is what its PNG holds, and drawing it leaves the figure as it was."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sundog.report.save import figure_bytes, figure_pixels


def drawn(size, layout):
    figure = Figure(figsize=size, layout=layout)
    axes = figure.subplots(1, 2)
    axes[0].plot([0, 1, 4, 9], label="squares")
    axes[0].legend()
    axes[1].imshow(np.random.default_rng(0).random((32, 32, 3)))
    axes[1].set_title("noise")
    return figure


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
@pytest.mark.parametrize("size", [(6, 3), (4.7, 3.333), (9.01, 2.03)])
def test_it_is_the_picture_of_the_png(size, layout):
    with Image.open(io.BytesIO(figure_bytes(drawn(size, layout)))) as image:
        expected = np.asarray(image.convert("RGB"))
    pixels = figure_pixels(drawn(size, layout))
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    assert (pixels == expected).all()


def test_the_figure_stays_as_it_was_and_settings_stay_out():
    figure = drawn((5, 2), None)
    canvas, dpi = figure.canvas, figure.dpi
    first = figure_pixels(figure)
    assert figure.canvas is canvas
    assert figure.dpi == dpi
    with mpl.rc_context({"savefig.facecolor": "black", "savefig.dpi": 30}):
        assert (figure_pixels(figure) == first).all()
