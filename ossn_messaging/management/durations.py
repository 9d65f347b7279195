"""Spans of time as they are typed on a command line."""

import re
from datetime import timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=36_525)
"""A hundred years: counted from now, more would soon leave what a date can be."""


def parse_duration(text: str) -> timedelta:
    """Return what ``30s``, ``15m``, ``12h``, ``7d`` or ``2w`` says; raises ``ValueError`` for all else."""
    if match := re.fullmatch(r"([0-9]{1,10})([smhdw])", text):
        span = timedelta(**{UNITS[match[2]]: int(match[1])})
        if span <= LONGEST:
            return span
    raise ValueError(f"{text!r} is no span of time: it is written 30s, 15m, 12h, 7d or 2w, up to a hundred years.")
