"""The row budget of the passes, which lives with the models because every room needs it."""

from sundog.models.budget import DEFAULT_BUDGET as DEFAULT_BUDGET
from sundog.models.budget import MAX_ROWS as MAX_ROWS
from sundog.models.budget import bytes_per_image as bytes_per_image
from sundog.models.budget import rows_per_pass as rows_per_pass
