"""How a JPEG is turned: decoded, and coded again as it was (ITU T.81)."""

from PIL import JpegImagePlugin

from ossn_messaging.upright.likeness import Options, file_of, first_like_enough
from ossn_messaging.upright.turns import MIRRORS_HEIGHT, MIRRORS_WIDTH, TRANSPOSES, TURNS

TABLE_SCALES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""How much of the steps of its tables are taken, until it is like enough."""
SAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}
"""What Pillow calls the samplings that it can write; all others become the first."""
STANDARD_CODES = bytes([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125])
"""How many codes of each length a JPEG has whose writer did not count what it needs (ITU T.81, K.3.3.2)."""


def turned(image: JpegImagePlugin.JpegImageFile, data: bytes, orientation: int) -> bytes:
    """Return the decoded JPEG upright, with its own tables, which costs next to nothing where its blocks stay whole."""
    upright = image.transpose(TURNS[orientation])
    tables = [list(image.quantization[layer[3]]) for layer in image.layer]
    factors = (1, 1)
    if len(image.layer) == 3:
        (_, width, height, _), (_, chroma_width, chroma_height, _) = image.layer[:2]
        factors = width // chroma_width, height // chroma_height
    elif image.info.get("adobe_transform") == 2:
        tables = tables[:1]  # what was coded as YCCK is written as CMYK
    moves_width = orientation in MIRRORS_WIDTH and image.width % (8 * factors[0])
    moves_height = orientation in MIRRORS_HEIGHT and image.height % (8 * factors[1])
    if orientation in TRANSPOSES:
        factors = factors[::-1]
        tables = [[table[at % 8 * 8 + at // 8] for at in range(64)] for table in tables]
    options: Options = {
        "icc_profile": image.info.get("icc_profile"),
        "progressive": "progression" in image.info,
        "optimize": STANDARD_CODES not in data,
        "keep_rgb": _is_coded_in_rgb(image),
        "qtables": tables,
    }
    if len(image.layer) == 3:
        options["subsampling"] = SAMPLINGS.get(factors, 0)
    if moves_width or moves_height or factors not in SAMPLINGS:
        finer = ([[max(1, round(step * scale)) for step in table] for table in tables] for scale in TABLE_SCALES)
        options = first_like_enough(upright, "JPEG", (options | {"qtables": each} for each in finer))
    return file_of(upright, "JPEG", options)


def _is_coded_in_rgb(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Judge as libjpeg does."""
    named = [layer[0] for layer in image.layer] == [*b"RGB"]
    return "jfif" not in image.info and image.info.get("adobe_transform", 0 if named else 1) == 0
