"""How a picture is written anew when its metadata turns it: upright, and as like to it as its format allows."""

from PIL import Image, JpegImagePlugin

from ossn_messaging.attachments.images.upright import jpeg, png, webp


def turned(image: Image.Image, data: bytes, orientation: int) -> bytes:
    """Return a file of the same format with the ``image`` upright; ``data`` is its own file without metadata."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return jpeg.turned(image, data, orientation)
    if image.format == "PNG":
        return png.turned(data, orientation)
    return webp.turned(image, data, orientation)
