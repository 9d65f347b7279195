"""Durations on the command line."""

import re
from datetime import timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=36_525)
"""A hundred years. Python has no dates after the year 9999, so much longer durations could overflow."""


def parse_duration(text: str) -> timedelta:
    """Return the duration that a text such as ``30s``, ``15m``, ``12h``, ``7d`` or ``2w`` describes.

    Raises ``ValueError`` if the text has another form or the duration is longer than ``LONGEST``.
    """
    if match := re.fullmatch(r"([0-9]{1,10})([smhdw])", text):
        span = timedelta(**{UNITS[match[2]]: int(match[1])})
        if span <= LONGEST:
            return span
    raise ValueError(f"{text!r} is not a duration: write 30s, 15m, 12h, 7d or 2w, at most a hundred years.")
