"""Whether a picture is one, by decoding it, and how it is written without what its file says of its maker."""

import io
from typing import IO

from PIL import Image

from ossn_messaging.attachments.images import gif, jpeg, png, rows, webp
from ossn_messaging.attachments.images.upright import turned
from ossn_messaging.attachments.images.upright.turns import TURNS, orientation_of
from ossn_messaging.attachments.rules import Reason, Rejected

Image.init()  # now, since the process that inspects files may not open any
KEEP = {"JPEG": jpeg.keep, "PNG": png.keep, "GIF": gif.keep, "WEBP": webp.keep}
"""What to keep of a file, by Pillow's name of its format."""

PIXELS_PER_BYTE = 512
"""Of a JPEG, whose every block of 64 pixels has one bit at the least: what claims more has next to nothing of them.

It would take the memory of all of them, for libjpeg makes up what is missing.
"""


def sanitize_image(content: bytes, image_format: str, max_pixels: int) -> bytes:
    cleaned = io.BytesIO()
    try:
        clean(io.BytesIO(content), cleaned, image_format, max_pixels)
    except ValueError as error:
        raise Rejected(Reason.DAMAGED) from error
    return cleaned.getvalue()


def clean(file: IO[bytes], cleaned: IO[bytes], picture_format: str, max_pixels: int) -> None:
    """Write the picture of ``file`` to ``cleaned``, upright and without metadata.

    The pixels, frames, timing, transparency and colour profile stay to the bit; only a picture that its metadata turns
    is written anew. Raises ``ValueError`` where ``file`` is not whole, is not of ``picture_format`` (Pillow's name for
    it), or has more than ``max_pixels`` pixels in all of its frames.
    """
    keep = KEEP[picture_format]
    try:
        kept = keep(file)
        # Pillow is shown what is kept and nothing else: its readers of metadata can be made to take long.
        kept.write(file, cleaned)
        with Image.open(cleaned, formats=[picture_format]) as image:
            area = max(image.width * image.height, kept.width * kept.height)
            if area * kept.frames > min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels):
                raise ValueError("too many pixels")
            if picture_format == "JPEG" and area > PIXELS_PER_BYTE * kept.size:
                raise ValueError("more pixels than its data can stand for")
            orientation = orientation_of(kept.exif)
            if picture_format == "PNG":
                rows.check(cleaned)  # which takes no more memory than a block, and Pillow that of all pixels
            else:
                if picture_format == "JPEG" and orientation not in TURNS:
                    # All of its data is decoded, but only an eighth of the width and height is put into memory.
                    image.draft(None, (1, 1))
                for frame in range(kept.frames):
                    image.seek(frame)
                    image.load()
            if orientation in TURNS:
                cleaned.seek(0)
                upright = io.BytesIO(turned(image, cleaned.read(), orientation))
                cleaned.seek(0)
                cleaned.truncate()
                keep(upright).write(upright, cleaned)
    # A decoder answers a broken file with whatever its code ran into: OSError, SyntaxError, struct.error...
    except Exception as error:
        raise ValueError(f"not a whole {picture_format} picture") from error
