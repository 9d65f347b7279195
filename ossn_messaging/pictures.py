"""Whether a picture is one, by decoding it, and how it is written without what its file says of its maker."""

import io
from typing import IO

from PIL import Image

from ossn_messaging import containers
from ossn_messaging.upright import is_turned, turned

PILLOW_FORMATS = {"JPEG": ("JPEG", "MPO"), "PNG": ("PNG",), "GIF": ("GIF",), "WEBP": ("WEBP",)}


def clean(file: IO[bytes], cleaned: IO[bytes], picture_format: str, max_pixels: int) -> None:
    """Write the picture of ``file`` to ``cleaned``, upright and without metadata.

    The pixels, frames, timing, transparency and colour profile stay to the bit; only a picture that its metadata turns
    is written anew. Raises ``ValueError`` where ``file`` is not whole, is not of ``picture_format`` (Pillow's name for
    it), or has more than ``max_pixels`` pixels in all of its frames.
    """
    read = containers.READERS[picture_format]
    try:
        kept = read(file)
        file.seek(0)
        with Image.open(file, formats=PILLOW_FORMATS[picture_format]) as image:
            if image.width * image.height * kept.frames > min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels):
                raise ValueError("too many pixels")
            if picture_format == "JPEG" and not is_turned(image):
                # All of its data is decoded, but only an eighth of the width and height is put into memory.
                image.draft(None, (1, 1))
            for frame in range(kept.frames):
                image.seek(frame)
                image.load()
            if is_turned(image):
                original = io.BytesIO()
                kept.write(file, original)
                upright = io.BytesIO(turned(image, original.getvalue()))
                read(upright).write(upright, cleaned)
            else:
                kept.write(file, cleaned)
    # A decoder answers a broken file with whatever its code ran into: OSError, SyntaxError, struct.error...
    except Exception as error:
        raise ValueError(f"not a whole {picture_format} picture") from error
