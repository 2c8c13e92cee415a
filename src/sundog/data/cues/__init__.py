"""Cues that can be planted, one family per file.

Every cue is a function ``cue(image, code, count, draw, *, ...) -> (image, mask)`` of one image
``float[3, height, width]`` in [0, 1]: ``code`` in 0..count-1 is the class whose value it shows,
``draw`` a generator that belongs to the image, and ``mask`` ``bool[height, width]`` the pixels
that it occupies. Pixels outside the mask are left exactly as they were.
"""
