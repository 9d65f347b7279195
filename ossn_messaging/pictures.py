"""Whether a picture is one, by decoding it, and how it is written without what its file says of its maker."""

import io
from typing import IO, Any

from PIL import Image, ImageOps, JpegImagePlugin

from ossn_messaging import containers

ORIENTATION = 0x0112
"""The tag of EXIF that says how to turn the picture (Exif 2.32, 4.6.4 A)."""
TURNED = range(2, 9)
"""Its values that turn or mirror the picture."""
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
            if picture_format == "JPEG" and not _is_turned(image):
                image.draft(None, (1, 1))  # all of the data is decoded, but into an eighth of the width and height
            for frame in range(kept.frames):
                image.seek(frame)
                image.load()
            if _is_turned(image):
                _turn(image, cleaned)
            else:
                kept.write(file, cleaned)
    # A decoder answers a broken file with whatever its code ran into: OSError, SyntaxError, struct.error...
    except Exception as error:
        raise ValueError(f"not a whole {picture_format} picture") from error


def _is_turned(image: Image.Image) -> bool:
    return image.format != "GIF" and image.getexif().get(ORIENTATION) in TURNED


def _turn(image: Image.Image, cleaned: IO[bytes]) -> None:
    picture_format = image.format.replace("MPO", "JPEG")
    options: dict[str, Any] = {"icc_profile": image.info.get("icc_profile")}
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        options |= {
            "qtables": image.quantization,
            "subsampling": JpegImagePlugin.get_sampling(image),
            "progressive": "progression" in image.info,
        }
    elif picture_format == "WEBP":
        options |= {"lossless": True, "exact": True}
    turned = io.BytesIO()
    ImageOps.exif_transpose(image).save(turned, picture_format, **options)
    containers.READERS[picture_format](turned).write(turned, cleaned)
