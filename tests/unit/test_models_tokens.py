"""Tokens, channels-last and convolutional outputs become one shape."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sundog.core.errors import LayerError
from sundog.models.tokens import is_channels_last, to_feature_map, token_grid


def test_a_convolutional_map_passes_through():
    activation = torch.rand(2, 512, 7, 9)
    assert to_feature_map(activation, (224, 288)) is activation


def test_channels_last_is_moved():
    activation = torch.rand(2, 7, 14, 768)
    moved = to_feature_map(activation, (112, 224))
    assert moved.shape == (2, 768, 7, 14)
    assert torch.equal(moved[1, 5], activation[1, :, :, 5])


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((1, 768, 7, 7), (224, 224), False),
        ((1, 7, 7, 768), (224, 224), True),
        ((1, 8, 8, 8), (64, 64), False),  # no way to tell: the usual order
        ((1, 3, 224, 224), (224, 224), False),
        ((1, 64, 15, 20), (240, 320), False),
        ((1, 15, 20, 64), (240, 320), True),
    ],
)
def test_channels_last_is_told_by_the_images_shape(shape, size, expected):
    assert is_channels_last(shape, size) is expected


@pytest.mark.parametrize(
    ("tokens", "size", "expected"),
    [
        (196, (224, 224), (0, 14, 14)),
        (197, (224, 224), (1, 14, 14)),
        (198, (224, 224), (2, 14, 14)),  # class and distillation token
        (201, (224, 224), (5, 14, 14)),  # class token and four registers
        (49, (224, 224), (0, 7, 7)),
        (50, (224, 224), (1, 7, 7)),
        (261, (224, 224), (5, 16, 16)),
        (393, (224, 448), (1, 14, 28)),
        (225, (224, 256), (1, 14, 16)),
        (226, (224, 224), (1, 15, 15)),
        (123, (224, 224), (2, 11, 11)),
        (180, (224, 224), (11, 13, 13)),
        (7, (224, 224), None),
        (105, (224, 100), (0, 15, 7)),  # patches of 15 px, padded
        (103, (224, 100), (5, 14, 7)),
    ],
)
def test_the_grid_of_tokens(tokens, size, expected):
    assert token_grid(tokens, size) == expected


def test_tokens_keep_their_place():
    rows, columns = 3, 5
    tokens = torch.rand(2, 1 + rows * columns, 4)
    found = to_feature_map(tokens, (48, 80))
    for row in range(rows):
        for column in range(columns):
            expected = tokens[:, 1 + row * columns + column]
            assert torch.equal(found[:, :, row, column], expected)


def test_gradients_flow_back_to_the_tokens():
    tokens = torch.rand(1, 10, 4, dtype=torch.float64, requires_grad=True)
    to_feature_map(tokens, (48, 48)).sum().backward()
    assert torch.equal(tokens.grad[:, 0], torch.zeros(1, 4, dtype=torch.float64))
    assert torch.equal(tokens.grad[:, 1:], torch.ones(1, 9, 4, dtype=torch.float64))


def test_the_number_of_prefix_tokens_can_be_told():
    tokens = torch.rand(1, 21, 4)
    assert to_feature_map(tokens, (32, 32), prefix_tokens=5).shape == (1, 4, 4, 4)


@pytest.mark.parametrize("shape", [(2, 512), (1, 7, 8), (1, 2, 3, 4, 5)])
def test_what_is_no_map_is_refused_in_plain_words(shape):
    with pytest.raises(LayerError, match="The layer's output must be"):
        to_feature_map(torch.rand(shape), (224, 224))


@settings(max_examples=200, deadline=None)
@given(
    rows=st.integers(4, 20),
    columns=st.integers(4, 20),
    patch=st.sampled_from([7, 8, 14, 16, 32]),
    cut=st.integers(0, 6),
)
def test_every_patch_grid_with_a_class_token_is_found_or_one_that_fits_as_well(
    rows, columns, patch, cut
):
    size = (rows * patch + cut, columns * patch + cut)  # the border that the patches leave out
    prefix, found_rows, found_columns = token_grid(1 + rows * columns, size)
    assert prefix + found_rows * found_columns == 1 + rows * columns
    if prefix == 1:
        assert (found_rows, found_columns) == (rows, columns)
    else:  # no class token fits too: then the grid has the image's shape as well
        assert prefix == 0
        assert any(
            (size[0] // p, size[1] // p) == (found_rows, found_columns)
            or (-(-size[0] // p), -(-size[1] // p)) == (found_rows, found_columns)
            for p in range(1, max(size))
        )
