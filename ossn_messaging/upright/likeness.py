"""How a lossy picture is written so that it stays like what it was made from."""

import io
import itertools
import math
from collections.abc import Iterable
from typing import Any

from PIL import Image, ImageChops

Options = dict[str, Any]

MIN_PSNR = 40.0
"""In dB, how like what is written must be to what it was made from."""
SAMPLE_MARGIN = 0.3
"""In dB, by how much a sample must be better than that."""
TILES, TILE_SIZE = 4, 128
"""Of a larger picture, so many tiles a side of so many pixels are the sample, on the grid of the encoders' blocks."""


def file_of(image: Image.Image, picture_format: str, options: Options) -> bytes:
    file = io.BytesIO()
    try:
        image.save(file, picture_format, **options)
    except OSError:  # Pillow's buffer is too small for the largest of JPEGs, unless it is written piece by piece
        file = io.BytesIO()
        image.save(file, picture_format, **options | {"progressive": False, "optimize": False})
    return file.getvalue()


def first_like_enough(image: Image.Image, picture_format: str, ways: Iterable[Options]) -> Options:
    """Return the first of the ways to write a picture that keeps it, or else the last."""
    sample = _sample(image)
    for way in ways:
        with Image.open(io.BytesIO(file_of(sample, picture_format, way))) as written:
            if _psnr(sample, written) >= MIN_PSNR + SAMPLE_MARGIN:
                break
    return way


def _sample(image: Image.Image) -> Image.Image:
    """Return a small picture itself, of a large one tiles from all over it, side by side."""
    columns, rows = (
        [(length - TILE_SIZE) * number // (TILES - 1) // 16 * 16 for number in range(TILES)]
        if length > TILES * TILE_SIZE
        else range(0, length, TILE_SIZE)
        for length in image.size
    )
    sample = Image.new(image.mode, (min(image.width, TILES * TILE_SIZE), min(image.height, TILES * TILE_SIZE)))
    for (column, left), (row, top) in itertools.product(enumerate(columns), enumerate(rows)):
        tile = image.crop((left, top, min(left + TILE_SIZE, image.width), min(top + TILE_SIZE, image.height)))
        sample.paste(tile, (column * TILE_SIZE, row * TILE_SIZE))
    return sample


def _psnr(one: Image.Image, other: Image.Image) -> float:
    """Return the peak signal-to-noise ratio of two pictures over all of their colours, in dB."""
    mode = one.mode if one.mode in {"L", "CMYK"} else "RGB"
    counts = ImageChops.difference(one.convert(mode), other.convert(mode)).histogram()
    error = sum(count * (value % 256) ** 2 for value, count in enumerate(counts))
    return 10 * math.log10(255**2 * sum(counts) / error) if error else math.inf
