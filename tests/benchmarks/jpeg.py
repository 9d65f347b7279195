"""How long a JPEG of 12 megapixels takes, beside Pillow alone decoding and encoding it.

Run it from the root of the repository: ``python -m tests.benchmarks.jpeg``.
"""

import io
import os
import sys
import time
from collections.abc import Callable

import django
from PIL import Image

ROUNDS = 7
SIZE = 4032, 3024


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from ossn_messaging.pictures import clean
    from tests.files import exif, landscape, picture

    photo = landscape(SIZE)
    for quality in (85, 90):
        for size in (SIZE, (SIZE[0] - 7, SIZE[1] - 9)):
            for orientation in (1, 6, 3):
                image = photo.crop((0, 0, *size))
                sent = picture("JPEG", image, quality=quality, exif=exif(orientation))

                def cleaned(sent: bytes = sent) -> None:
                    clean(io.BytesIO(sent), io.BytesIO(), "JPEG", 50_000_000)

                def pillow(sent: bytes = sent, quality: int = quality) -> None:
                    with Image.open(io.BytesIO(sent)) as opened:
                        opened.save(io.BytesIO(), "JPEG", quality=quality)

                ratio = compared(cleaned, pillow)
                sys.stdout.write(f"{size[0]}x{size[1]}, quality {quality}, orientation {orientation}: {ratio:.2f}\n")


def compared(one: Callable[[], None], other: Callable[[], None]) -> float:
    """Return how many times as long the one takes, by the best of several rounds of both in turn."""
    best: dict[Callable[[], None], float] = {}
    for work in (one, other) * ROUNDS:
        start = time.perf_counter()
        work()
        best[work] = min(best.get(work, float("inf")), time.perf_counter() - start)
    return best[one] / best[other]


if __name__ == "__main__":
    main()
