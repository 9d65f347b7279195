"""The rules for the content of a file, the limits of its inspection, and the reasons for a refusal.

This module does not need Django, because the processes that inspect files do not load it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The reasons to refuse an attachment. ``ossn_messaging.exceptions.REASON_TEXTS`` has a text for each."""

    EXTENSION = "extension"
    NAME_TOO_LONG = "name_too_long"
    WRONG_TYPE = "wrong_type"
    DAMAGED = "damaged"
    TOO_MANY_PIXELS = "too_many_pixels"
    PASSWORD_PROTECTED = "password_protected"  # noqa: S105
    MACROS = "macros"
    ACTIVE_CONTENT = "active_content"
    TOO_LARGE = "too_large"
    TAKES_TOO_MUCH = "takes_too_much"
    NOT_ONE_FILE = "not_one_file"
    VALIDATOR = "validator"


class Rejected(Exception):
    """The content of a file breaks a rule."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        """A detail of the content. If the type is wrong, the name of the actual type, or empty if it is unknown."""


@dataclass(frozen=True)
class Rules:
    """The rules for a file, from the settings at the time of its upload."""

    file_type: str
    """The name of a ``FileType``."""
    max_size: int
    """In bytes, of the stored file."""
    max_pixels: int
    """Of the canvas of an image."""
    active_content: str
    """``"strict"``, ``"standard"`` or ``"allow"``."""


@dataclass(frozen=True)
class Limits:
    """The limits that the kernel sets for one inspection."""

    memory: int
    """Address space, in bytes."""
    processor_seconds: int
    seconds: int
    """Of elapsed time."""
    file_size: int
    """In bytes, of a file that the inspection writes."""
