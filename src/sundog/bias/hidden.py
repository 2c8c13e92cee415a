"""Hidden bias: single concepts that hurt a class, or that it leans on.

:func:`test_concepts` takes concepts that are present or absent (tags), :func:`test_rankings` scores
that order the images of a class (a sorter). Both look at all images of every class.
"""

from sundog.bias.hidden_concepts import test_concepts
from sundog.bias.hidden_effect import ConceptEffect
from sundog.bias.hidden_rankings import test_rankings
from sundog.bias.hidden_replication import replicate_concepts, replicate_rankings

__all__ = [
    "ConceptEffect",
    "replicate_concepts",
    "replicate_rankings",
    "test_concepts",
    "test_rankings",
]
