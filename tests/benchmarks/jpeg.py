"""How long a JPEG of 12 megapixels takes, beside Pillow alone decoding and encoding it.

Run it from the root of the repository: ``python -m tests.benchmarks.jpeg``.
"""

import io
import itertools
import os
import sys
import time
from collections.abc import Callable

import django
from PIL import Image

ROUNDS = 7
SIZES = (4032, 3024), (4000, 3000)
"""Of the usual cameras. Turned by orientation 6, the blocks of the second do not stay whole."""
QUALITIES = (85,)
ORIENTATIONS = 1, 6


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from ossn_messaging.attachments.images import sanitize_image
    from tests.support.files import exif, landscape, picture

    for size, quality in itertools.product(SIZES, QUALITIES):
        photo = landscape(size)
        for orientation in ORIENTATIONS:
            sent = picture("JPEG", photo, quality=quality, exif=exif(orientation))

            def sanitized(sent: bytes = sent, size: tuple[int, int] = size) -> None:
                sanitize_image(sent, "JPEG", size[0] * size[1])

            def pillow(sent: bytes = sent, quality: int = quality) -> None:
                with Image.open(io.BytesIO(sent)) as image:
                    image.save(io.BytesIO(), "JPEG", quality=quality)

            ratio = compared(sanitized, pillow)
            sys.stdout.write(f"{size[0]}x{size[1]}, quality {quality}, orientation {orientation}: {ratio:.2f}\n")


def compared(one: Callable[[], None], other: Callable[[], None]) -> float:
    """Return how many times as much of the processor the one takes, by the best of several rounds of both in turn."""
    best: dict[Callable[[], None], float] = {}
    for work in (one, other) * ROUNDS:
        start = time.process_time()
        work()
        best[work] = min(best.get(work, float("inf")), time.process_time() - start)
    return best[one] / best[other]


if __name__ == "__main__":
    main()
