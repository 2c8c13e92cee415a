"""Names of the tensor shapes that travel between the rooms."""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor

Images = Float[Tensor, "batch 3 height width"]
"""Images in [0, 1], before the classifier's own normalisation."""
Maps = Float[Tensor, "batch height width"]
"""One attribution per pixel."""
Labels = Int64[Tensor, "batch"]
Logits = Float[Tensor, "batch classes"]
Scores = Float[Tensor, "batch"]
