"""How a picture is written anew when its metadata turns it: upright, and as like to it as its format allows."""

import struct

from PIL import Image, JpegImagePlugin

from ossn_messaging.upright import jpeg, png, webp
from ossn_messaging.upright.turns import ORIENTATION, TURNS


def is_turned(image: Image.Image) -> bool:
    """Whether its metadata turns the picture. In a GIF, nothing that shows it would look for that."""
    return image.format != "GIF" and _orientation(image) in TURNS


def turned(image: Image.Image, data: bytes) -> bytes:
    """Return a file of the same format with the ``image`` upright; ``data`` is its own file without metadata."""
    orientation = _orientation(image)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return jpeg.turned(image, data, orientation)
    if image.format == "PNG":
        return png.turned(data, orientation)
    return webp.turned(image, data, orientation)


def _orientation(image: Image.Image) -> int:
    try:
        orientation: int = image.getexif().get(ORIENTATION, 1)
    except (SyntaxError, struct.error):  # it is not EXIF, or cut off, and says nothing
        return 1
    return orientation
