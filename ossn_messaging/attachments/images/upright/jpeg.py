"""How a JPEG is turned: decoded, and coded again as it was (ITU T.81)."""

import math

from PIL import JpegImagePlugin

from ossn_messaging.attachments.images.upright.likeness import SAMPLED_PIXELS, Options, file_of, first_like_enough
from ossn_messaging.attachments.images.upright.turns import TRANSPOSES, TURNS

LARGEST_STEPS = (65_535, *range(40, 0, -1))
"""What the steps of its tables are lowered to, until it is like enough. To lower all of them costs more."""
SAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}
"""What Pillow calls the samplings that it can write; all others become the first."""
STANDARD_CODES = bytes([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125])
"""How many codes of each length a JPEG has whose writer did not count what it needs (ITU T.81, K.3.3.2).

To count takes as long again, so that a large picture is optimized only where it was before.
"""


def turned(image: JpegImagePlugin.JpegImageFile, data: bytes, orientation: int) -> bytes:
    """Return the decoded JPEG upright, with its own tables, which lose next to nothing where its blocks stay whole."""
    upright = image.transpose(TURNS[orientation])
    tables = [list(image.quantization[layer[3]]) for layer in image.layer]
    factors = (1, 1)
    if len(image.layer) == 3:
        (_, width, height, _), (_, chroma_width, chroma_height, _) = image.layer[:2]
        factors = width // chroma_width, height // chroma_height
    elif image.info.get("adobe_transform") == 2:
        tables = tables[:1]  # what was coded as YCCK is written as CMYK
    if orientation in TRANSPOSES:
        factors = factors[::-1]
        tables = [[table[at % 8 * 8 + at // 8] for at in range(64)] for table in tables]
    if factors not in SAMPLINGS:  # it gets more samples of its colours than it had, each of which may be coarser
        tables[1:] = [[math.ceil(step * 1.2) for step in table] for table in tables[1:]]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    options: Options = {
        "icc_profile": image.info.get("icc_profile"),
        "progressive": "progression" in image.info,
        "optimize": STANDARD_CODES not in data or upright.width * upright.height <= SAMPLED_PIXELS,
        "keep_rgb": _is_coded_in_rgb(image),
    }
    finer = [[[min(step, largest) for step in table] for table in tables] for largest in LARGEST_STEPS]
    ladders = [
        [options | {"qtables": each, "subsampling": sampling} for each in finer]
        for sampling in sorted({SAMPLINGS.get(factors, 0), 0}, reverse=True)
    ]
    return file_of(upright, "JPEG", first_like_enough(upright, "JPEG", *ladders))


def _is_coded_in_rgb(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Judge as libjpeg does."""
    named = [layer[0] for layer in image.layer] == [*b"RGB"]
    return "jfif" not in image.info and image.info.get("adobe_transform", 0 if named else 1) == 0
