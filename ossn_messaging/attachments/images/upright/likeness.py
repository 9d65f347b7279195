"""How a lossy picture is written so that it stays like what it was made from."""

import bisect
import io
import itertools
import math
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageChops

Options = dict[str, Any]

MIN_PSNR = 40.0
"""In dB, how like what is written must be to what it was made from."""
SAMPLE_MARGIN = 0.5
"""In dB, by how much a sample must be better than that."""
SAMPLED_PIXELS = 1_000_000
"""Of a picture with more pixels, a sample stands for the whole."""
TILES, TILE_SIZE = 8, 64
"""It is so many tiles a side of so many pixels, on the grid of the encoders' blocks."""


def file_of(image: Image.Image, picture_format: str, options: Options) -> bytes:
    file = io.BytesIO()
    try:
        image.save(file, picture_format, **options)
    except OSError:  # Pillow's buffer is too small for the largest of JPEGs, unless it is written piece by piece
        file = io.BytesIO()
        image.save(file, picture_format, **options | {"progressive": False, "optimize": False})
    return file.getvalue()


def first_like_enough(image: Image.Image, picture_format: str, *ladders: Sequence[Options]) -> Options:
    """Return the first of the ways to write a picture that keeps it, or else the last.

    Each ladder begins with its coarsest way; the next is climbed where the end of one is not enough.
    """
    sample = _sample(image)
    enough = MIN_PSNR if sample is image else MIN_PSNR + SAMPLE_MARGIN

    def likeness(way: Options) -> float:
        with Image.open(io.BytesIO(file_of(sample, picture_format, way))) as written:
            return _psnr(sample, written)

    if likeness(ladders[0][0]) >= enough:
        return ladders[0][0]
    ladder = next((ladder for ladder in ladders[:-1] if likeness(ladder[-1]) >= enough), ladders[-1])
    return ladder[bisect.bisect_left(ladder, enough, hi=len(ladder) - 1, key=likeness)]


def _sample(image: Image.Image) -> Image.Image:
    """Return a small picture itself, of a large one tiles from all over it, side by side."""
    if image.width * image.height <= SAMPLED_PIXELS:
        return image
    side = TILES * TILE_SIZE
    columns, rows = (
        [(length - TILE_SIZE) * number // (TILES - 1) // 16 * 16 for number in range(TILES)]
        if length > side
        else range(0, length, TILE_SIZE)
        for length in image.size
    )
    sample = Image.new(image.mode, (min(image.width, side), min(image.height, side)))
    for (column, left), (row, top) in itertools.product(enumerate(columns), enumerate(rows)):
        tile = image.crop((left, top, min(left + TILE_SIZE, image.width), min(top + TILE_SIZE, image.height)))
        sample.paste(tile, (column * TILE_SIZE, row * TILE_SIZE))
    return sample


def _psnr(one: Image.Image, other: Image.Image) -> float:
    """Return the peak signal-to-noise ratio of two pictures over all of their colours, in dB."""
    mode = "CMYK" if one.mode == "CMYK" else "RGB"  # gray is as like in RGB
    counts = ImageChops.difference(one.convert(mode), other.convert(mode)).histogram()
    error = sum(count * (value % 256) ** 2 for value, count in enumerate(counts))
    return 10 * math.log10(255**2 * sum(counts) / error) if error else math.inf
