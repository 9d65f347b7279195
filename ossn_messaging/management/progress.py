"""Progress on a terminal."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from django.core.management.base import OutputWrapper

T = TypeVar("T")
STEP = 100


class Progress(Protocol):
    """A callable that yields ``steps`` and shows its progress. ``total`` is the approximate number of steps."""

    def __call__(self, steps: Iterable[T], what: str, total: int) -> Iterable[T]: ...


def show_progress(steps: Iterable[T], what: str, total: int, *, stderr: OutputWrapper, silent: bool) -> Iterator[T]:
    """Yield ``steps``. If standard error is a terminal, show the number of steps so far."""
    is_shown = stderr.isatty() and not silent
    for number, step in enumerate(steps, 1):
        yield step
        if is_shown and number % STEP == 1:
            stderr.write(f"\r{number} of about {total} {what}", ending="", style_func=str)
    if is_shown:
        stderr.write("\r\033[K", ending="", style_func=str)  # clears the line
