"""Marks: the correlation against slow loops, where they are found, and what moving them does."""

import numpy as np
import pytest
import torch
from tests.marked_images import GLYPHS, marked

from sundog.bias.mark_search import find_marks, mark_component
from sundog.data.components.component import Component, make_component
from sundog.data.components.mark import mark_classes, mark_masks
from sundog.data.components.mark_match import (
    Mark,
    best_places,
    correlation,
    light,
    square_correlation,
)
from sundog.data.components.paint_over import paint_over


def test_the_correlation_is_that_of_slow_loops():
    draw = torch.Generator().manual_seed(1)
    grey = torch.rand(2, 1, 9, 11, generator=draw, dtype=torch.float64)
    values = torch.rand(2, 3, 4, generator=draw, dtype=torch.float64)
    weights = torch.rand(2, 3, 4, generator=draw, dtype=torch.float64)
    found = correlation(grey, values, weights)
    assert found.shape == (2, 2, 7, 8)
    for b, k, y, x in np.ndindex(*found.shape):
        part, t = grey[b, 0, y : y + 3, x : x + 4].numpy(), values[k].numpy()
        cov = np.cov(part.ravel(), t.ravel(), aweights=weights[k].numpy().ravel(), ddof=0)
        slow = cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1])
        assert float(found[b, k, y, x]) == pytest.approx(slow, abs=1e-9)
    squares = torch.rand(3, 4, 4, generator=draw, dtype=torch.float64)
    flat = torch.ones_like(squares)
    torch.testing.assert_close(
        square_correlation(grey, squares), correlation(grey, squares, flat), atol=1e-9, rtol=0
    )


def test_a_flat_image_holds_no_mark_and_contrast_does_not_matter():
    values, weights = GLYPHS[:1], torch.ones(1, 5, 5)
    assert float(correlation(torch.full((1, 1, 8, 8), 0.5), values, weights).abs().max()) == 0
    faint = torch.full((1, 1, 8, 8), 0.4)
    faint[0, 0, 2:7, 1:6] += 0.1 * GLYPHS[0]
    found = correlation(faint, values, weights)[0, 0]
    assert divmod(int(found.argmax()), found.shape[1]) == (2, 1)
    assert float(found.max()) == pytest.approx(1.0, abs=1e-5)


def test_marks_of_several_sizes_are_found_alike_alone_and_together():
    images, _, _ = marked()
    grey = light(images, 1)
    small, large = GLYPHS[0], GLYPHS[1].repeat_interleave(2, 0).repeat_interleave(3, 1)
    marks = [Mark(1, 0.5, m, torch.ones_like(m)) for m in (small, large)]
    tops, places = best_places(grey, marks)
    for k, mark in enumerate(marks):
        alone = correlation(grey, mark.values[None], mark.weights[None])[:, 0]
        torch.testing.assert_close(tops[:, k], alone.amax(dim=(1, 2)), atol=1e-5, rtol=0)
        rows = torch.arange(len(grey))
        torch.testing.assert_close(
            alone[rows, places[:, k, 0], places[:, k, 1]], tops[:, k], atol=1e-5, rtol=0
        )
    one, where = best_places(grey[7:8], marks)
    assert torch.equal(one[0], tops[7])
    assert torch.equal(where[0], places[7])
    huge = Mark(1, 0.5, torch.rand(40, 40), torch.ones(40, 40))
    assert float(best_places(grey, [huge])[0].max()) == -1


@pytest.mark.parametrize("share", [1.0, 0.75])
def test_the_patterns_that_classes_repeat_are_found_and_located(share):
    images, labels, truth = marked(share=share)
    found = find_marks(images, labels, seed=3)
    assert [mark.class_index for mark in found] == [0, 1]
    assert all(mark.own - mark.others >= 0.5 for mark in found)
    component = mark_component(found)
    masks = component.locate(images)
    has, carries = masks.flatten(1).any(1), truth.flatten(1).any(1)
    assert float((has & carries).sum() / carries.sum()) >= 0.9
    both = has & carries
    covered = (masks & truth)[both].flatten(1).sum(1) / truth[both].flatten(1).sum(1)
    assert float(covered.mean()) >= 0.6
    classes = mark_classes(images, **component.parameters)
    assert float((classes == labels)[both].float().mean()) >= 0.9
    assert bool((classes[~has] == -1).all())
    assert make_component(component.to_dict()) == component


def test_images_without_a_pattern_have_none():
    images, labels, _ = marked(share=0.0)
    assert find_marks(images, labels) == []
    assert find_marks(images, torch.zeros_like(labels)) == []
    assert find_marks(images[:6], labels[:6]) == []


def test_patterns_in_large_images_are_looked_for_in_shrunk_ones():
    images, labels, truth = marked(size=32)
    large = images.repeat_interleave(4, 2).repeat_interleave(4, 3)
    component = mark_component(find_marks(large, labels))
    assert {mark["factor"] for mark in component.parameters["marks"]} == {2}
    masks = component.locate(large)
    wide = truth.repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert float((masks & wide).sum() / masks.sum()) >= 0.8


def test_a_mark_is_moved_to_its_place_and_the_own_one_painted_over():
    images, labels, _ = marked()
    component = mark_component(find_marks(images, labels))
    masks = component.locate(images)
    rows = torch.nonzero(masks.flatten(1).any(1))[:6, 0]
    receivers, givers = rows[:3], rows[3:]
    moved = component.transfer(images[receivers], images[givers])
    expected = torch.where(
        masks[givers][:, None],
        images[givers],
        paint_over(images[receivers], masks[receivers]),
    )
    assert torch.equal(moved, expected)
    nothing = torch.full_like(images[:3], 0.5)
    assert mark_masks(nothing, **component.parameters).sum() == 0
    gone = component.transfer(images[receivers], nothing)
    assert torch.equal(gone, paint_over(images[receivers], masks[receivers]))
    alone = Component("mark", component.parameters).transfer(nothing, nothing)
    assert torch.equal(alone, nothing)
