"""Default avatars, for users without an avatar of the site."""

import io
from functools import lru_cache

from PIL import Image, ImageDraw

SIZES = {"small": 100, "smaller": 64}
"""The protocol's names for the sizes of an avatar, with the side length in pixels."""
HUES = 24


def default_avatar(digest: str, size: str) -> bytes:
    """Return a JPEG of a head and shoulders. Its colour depends on ``digest``, which is a hexadecimal number."""
    return _draw(int(digest, 16) % HUES, SIZES[size])


@lru_cache(maxsize=HUES * len(SIZES))
def _draw(hue: int, side: int) -> bytes:
    ground, figure = (f"hsl({360 * hue // HUES}, 40%, {lightness}%)" for lightness in (45, 90))
    image = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(image)
    draw.ellipse([side * 0.32, side * 0.18, side * 0.68, side * 0.54], fill=figure)
    draw.ellipse([side * 0.14, side * 0.62, side * 0.86, side * 1.4], fill=figure)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()
