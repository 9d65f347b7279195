"""How a picture is written anew when its metadata turns it: upright, and as like to it as its format allows."""

import io
import itertools
import math
import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageChops, ImageSequence, JpegImagePlugin, PngImagePlugin

Options = dict[str, Any]

ORIENTATION = 0x0112
"""The tag of EXIF that says how to turn the picture (Exif 2.32, 4.6.4 A)."""
SHORT = 3
"""The type of its value (TIFF 6.0, section 2)."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What each of its values asks for."""
MIRRORS_WIDTH, MIRRORS_HEIGHT, TRANSPOSES = {2, 3, 7, 8}, {3, 4, 6, 7}, {5, 6, 7, 8}
"""The values that put the left end of the stored rows right, the stored columns upside down, and columns for rows."""

MIN_PSNR = 40.0
"""In dB, how like what is written must be to what it was made from."""
SAMPLE_MARGIN = 0.3
"""In dB, by how much a sample must be better than that."""
TILES, TILE_SIZE = 4, 256
"""Of a larger picture, so many tiles a side of so many pixels are the sample, on the grid of the encoders' blocks."""
TABLE_SCALES = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2)
QUALITIES = (75, 80, 85, 90, 95, 100)
"""How finely a JPEG and a WebP are quantized, until they are like enough."""
SAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}
"""What Pillow calls the samplings that it can write; all others become the first."""
UNCHANGED_GROWTH = 1.05
"""A JPEG that grows by more had optimized codes, and gets them again."""


def orientation_of(exif: bytes) -> int:
    """Return how the metadata of a picture says to turn it, 1 for not at all.

    Of the metadata, no more than this one tag is read.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if not order:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for number in range(count):
            tag, kind, value = struct.unpack_from(f"{order}HH4xH", exif, start + 2 + 12 * number)
            if (tag, kind) == (ORIENTATION, SHORT):
                return int(value)
    except struct.error:  # it ends too early
        pass
    return 1


def turned(
    image: Image.Image, orientation: int, size: int, *, lossless: bool, colours: list[tuple[bytes, bytes]]
) -> bytes:
    """Return a file of the same format with the decoded ``image`` upright.

    ``size`` is that of its own file in bytes, ``lossless`` says that a WebP has no lossy frame, and ``colours`` are the
    names and the data of the chunks of a PNG that say how its colours are meant.
    """
    profile = image.info.get("icc_profile")
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return _jpeg(image, orientation, size, profile)
    frames, durations = [], []
    for frame in ImageSequence.Iterator(image):
        frames.append(frame.transpose(TURNS[orientation]))
        durations.append(frame.info.get("duration", 0))
    options: Options = {"icc_profile": profile, "exif": b"", "xmp": b""}
    if len(frames) > 1:
        options |= {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": image.info["loop"]}
    if image.format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for name, data in colours:
            chunks.add(name, data)
        options |= {"pnginfo": chunks, "default_image": image.info.get("default_image", False)}
        return _file(frames[0], "PNG", options | {"disposal": 0, "blend": 0})  # each frame is a whole one
    if lossless:
        return _file(frames[0], "WEBP", options | {"lossless": True, "exact": True})
    ways = ({"quality": quality, "exact": True} for quality in QUALITIES)
    return _file(frames[0], "WEBP", options | _first_like_enough(frames[0], "WEBP", ways))


def _jpeg(image: JpegImagePlugin.JpegImageFile, orientation: int, size: int, profile: bytes | None) -> bytes:
    """Write a JPEG with the tables of its original, which costs next to nothing where its blocks stay whole."""
    upright = image.transpose(TURNS[orientation])
    factors = image.layer[0][1:3]
    tables = [list(table) for table in image.quantization.values()]
    moves_width = orientation in MIRRORS_WIDTH and image.width % (8 * factors[0])
    moves_height = orientation in MIRRORS_HEIGHT and image.height % (8 * factors[1])
    if orientation in TRANSPOSES:
        factors = factors[::-1]
        tables = [[table[at % 8 * 8 + at // 8] for at in range(64)] for table in tables]
    options: Options = {"icc_profile": profile, "progressive": "progression" in image.info, "qtables": tables}
    if len(image.layer) == 3:
        options["subsampling"] = SAMPLINGS.get(factors, 0)
    if moves_width or moves_height:
        finer = ([[max(1, round(step * scale)) for step in table] for table in tables] for scale in TABLE_SCALES)
        options |= _first_like_enough(upright, "JPEG", (options | {"qtables": each} for each in finer))
    data = _file(upright, "JPEG", options)
    return data if len(data) <= size * UNCHANGED_GROWTH else _file(upright, "JPEG", options | {"optimize": True})


def _file(image: Image.Image, picture_format: str, options: Options) -> bytes:
    file = io.BytesIO()
    image.save(file, picture_format, **options)
    return file.getvalue()


def _first_like_enough(image: Image.Image, picture_format: str, ways: Iterator[Options]) -> Options:
    """Return the first of the ways to write a picture that keeps it, or else the last."""
    sample = _sample(image)
    for way in ways:
        with Image.open(io.BytesIO(_file(sample, picture_format, way))) as written:
            if _psnr(sample, written.convert(sample.mode)) >= MIN_PSNR + SAMPLE_MARGIN:
                break
    return way


def _sample(image: Image.Image) -> Image.Image:
    """Return a small picture itself, of a large one tiles from all over it, side by side."""
    side = TILES * TILE_SIZE
    if min(image.size) < side:
        return image
    sample = Image.new(image.mode, (side, side))
    for column, row in itertools.product(range(TILES), repeat=2):
        left, top = (
            (length - TILE_SIZE) * number // (TILES - 1) // 16 * 16
            for length, number in zip(image.size, (column, row), strict=True)
        )
        tile = image.crop((left, top, left + TILE_SIZE, top + TILE_SIZE))
        sample.paste(tile, (column * TILE_SIZE, row * TILE_SIZE))
    return sample


def _psnr(one: Image.Image, other: Image.Image) -> float:
    """Return the peak signal-to-noise ratio of two pictures over all of their channels, in dB."""
    counts = ImageChops.difference(one, other).histogram()
    error = sum(count * (value % 256) ** 2 for value, count in enumerate(counts))
    return 10 * math.log10(255**2 * sum(counts) / error) if error else math.inf
