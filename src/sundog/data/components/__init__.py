"""Components of an image that can be moved into another image, one family per file.

A component is a part (a window, a frame) or a property (the mean colour, the sharpness) of an
image. ``transfer`` puts the component of a donor into an image and leaves everything else as it
is: the operation behind the search for unknown shortcuts and behind mending a model by what was
found.
"""
