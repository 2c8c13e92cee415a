"""What all records of an inspection share: frozen, no unknown fields, canonical JSON, a hash."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from sundog.core.errors import RunFolderError, first_line
from sundog.core.files import write_json


class Record(BaseModel):
    """A frozen record; unknown fields and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileRecord(Record):
    """A record that is a file of its own, with its format and version inside."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return self.model_dump(mode="json")

    def content_hash(self) -> str:
        """Return 32 hex digits of the canonical JSON: equal content, equal hash."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the file atomically and return its path."""
        return write_json(path, self.to_json())

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, subject: str = "") -> Self:
        """Read and check a file written by :meth:`write`, or by hand.

        Args:
            path: of the file.
            subject: what errors call it; its path if empty.

        Raises:
            RunFolderError: not there, not JSON (half-written), of another format or version, or
                with wrong fields, which are named.
        """
        file = Path(path)
        called = subject or f"{str(file)!r}"
        try:
            raw = file.read_bytes()
        except FileNotFoundError as error:
            raise RunFolderError(called, expected="a file", got="none") from error
        except OSError as error:
            raise RunFolderError(
                called, expected="a file that can be read", got=first_line(error)
            ) from error
        return cls.from_bytes(raw, subject=called)

    @classmethod
    def from_bytes(cls, raw: bytes, *, subject: str) -> Self:
        """Check the bytes of a file.

        Raises:
            RunFolderError: not JSON (half-written), or see :meth:`parse`.
        """
        try:
            value = json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise RunFolderError(
                subject,
                expected="readable JSON",
                got=first_line(error),
                hint="It may be half-written; restore it, or delete it and start again.",
            ) from error
        return cls.parse(value, subject=subject)

    @classmethod
    def parse(cls, raw: Any, *, subject: str) -> Self:
        """Check JSON values.

        Raises:
            RunFolderError: another format or version, or wrong fields.
        """
        fields = cls.model_fields
        for name in ("format", "version"):
            wanted = fields[name].default
            found = raw.get(name) if isinstance(raw, dict) else None
            if found != wanted:
                raise RunFolderError(
                    subject,
                    expected=f"{name} {wanted!r}",
                    got=repr(found),
                    hint="It is another kind of file, or from another version of Sundog.",
                )
        try:
            return cls.model_validate(raw)
        except (ValidationError, RecursionError) as error:
            wrong = bad_fields(error) if isinstance(error, ValidationError) else "too deep a nest"
            raise RunFolderError(
                subject, expected="valid", got=wrong, hint="See docs: file formats."
            ) from error


def bad_fields(error: ValidationError, most: int = 4) -> str:
    """Return ``field: reason`` of the first fields that pydantic refused."""
    found = [
        f"{'.'.join(str(part) for part in entry['loc']) or 'value'}: {entry['msg']}"
        for entry in error.errors(include_input=False, include_url=False)
    ]
    return "; ".join(found[:most]) + (f"; and {len(found) - most} more" if found[most:] else "")
