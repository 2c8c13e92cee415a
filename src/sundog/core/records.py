"""The records that a run folder holds, as pydantic models: JSON in and out, no torch."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
"""Version of the run folder's layout; a folder of another version is refused."""
_PACKAGES = ("sundog", "torch", "numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "pillow")


class Manifest(BaseModel):
    """What a run was: enough to repeat it and to refuse to mix it with another.

    Attributes:
        schema_version: layout of the run folder.
        kind: what was run: ``faithfulness``, ``train``, ...
        arguments: the arguments of the command, as JSON values.
        seeds: every seed by its name.
        versions: Python and packages, when the run was made.
        created: UTC time in ISO 8601.
        data_fingerprint: hash of the image set's ids, or None.
        model_fingerprint: hash of the classifier, or None.
        environment: what may differ when the run is continued, as JSON values: the hash of the
            code, device, machine, what the run is compared with.
        status: ``running`` until the run has finished.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    kind: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=lambda: package_versions())
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    data_fingerprint: str | None = None
    model_fingerprint: str | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    status: Literal["running", "complete"] = "running"

    def identity(self) -> dict[str, Any]:
        """Return the fields that must agree for a run to be continued."""
        return {
            "kind": self.kind,
            "arguments": self.arguments,
            "seeds": self.seeds,
            "data_fingerprint": self.data_fingerprint,
            "model_fingerprint": self.model_fingerprint,
        }


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
