"""Check an image by decoding it, and return it without metadata."""

from PIL import Image

from ossn_messaging.attachments.images import gif, jpeg, png, webp
from ossn_messaging.attachments.rules import Reason, Rejected

Image.init()  # now, because the process that inspects a file can't open the files of Pillow's plugins

SANITIZERS = {"JPEG": jpeg.sanitize, "PNG": png.sanitize, "GIF": gif.sanitize, "WEBP": webp.sanitize}


def sanitize_image(content: bytes, image_format: str, max_pixels: int) -> bytes:
    """Return what to store of an image: upright, and without metadata and anything that no decoder reads.

    Pixels, frames, timing, transparency and the colour profile stay. Only an image that its metadata turns is encoded
    again. Raises ``Rejected`` if the file is damaged, or its canvas has more than ``max_pixels``.
    """
    try:
        return SANITIZERS[image_format](content, max_pixels)
    except (Rejected, MemoryError):
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and others for damaged files
        raise Rejected(Reason.DAMAGED) from error
