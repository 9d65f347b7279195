"""Bytes behind compressed data, which a decoder never reads: another file could be hidden there."""

import bisect
from collections.abc import Callable

SLACK = 32
"""In bytes. Decoders read so far ahead at most; what remains is too short for another file."""


def trim(data: bytes, is_enough: Callable[[bytes], bool]) -> bytes:
    """Return compressed data without what follows the last byte that is needed.

    ``is_enough`` tells whether the beginning of ``data`` decodes to the same as all of it. It is asked once if the data
    are clean.
    """
    if len(data) <= SLACK or not is_enough(data[:-SLACK]):
        return data
    return data[: bisect.bisect_left(range(len(data)), True, key=lambda size: is_enough(data[:size]))]
