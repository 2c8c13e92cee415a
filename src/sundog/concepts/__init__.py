"""Concepts: taggers say which tags an image carries, sorters rank images by one concept."""
