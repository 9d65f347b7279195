"""Whether a PDF is one, by opening it."""

import time
from typing import IO, cast

TRAILER_REACH = 1024
"""How far from the end ``%%EOF`` may stand, in bytes (PDF Reference 1.7, appendix H, note 18)."""
MAX_OBJECTS = 500_000
"""How many a compressed table may list; pypdf keeps them all in memory."""
MAX_SECONDS = 2.0
"""Of a processor's time, after which pypdf is stopped: most files take a hundredth of it."""
MAX_UNPACKED = 8 * 1024 * 1024
"""In bytes, of one of the tables and streams that are looked at; no picture or text is."""


class HurriedFile:
    """Can't be read any more when too much time went by; pypdf, which reads byte by byte, asks no more of a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read_file, self.seek, self.tell = file.read, file.seek, file.tell
        self.until = time.thread_time() + MAX_SECONDS

    def read(self, size: int = -1) -> bytes:
        if time.thread_time() > self.until:
            raise ValueError("it takes too long to open")
        return self.read_file(size)


def check(file: IO[bytes]) -> None:
    """Raise ``ValueError`` unless ``file`` begins and ends as a PDF does, and pypdf, where it is installed, opens it.

    What is encrypted is not decrypted, and only seen to be so.
    """
    file.seek(0)
    begins = file.read(5) == b"%PDF-"
    size = file.seek(0, 2)
    file.seek(max(0, size - TRAILER_REACH))
    if not begins or b"%%EOF" not in file.read():
        raise ValueError("not a PDF")
    try:
        from pypdf import PdfReader, apply_configuration
    except ImportError:  # the extra ``documents``
        return
    limits = apply_configuration(
        zlib_maximum_output_length=MAX_UNPACKED,
        lzw_maximum_output_length=MAX_UNPACKED,
        run_length_maximum_output_length=MAX_UNPACKED,
        stream_decoding_work_maximum_length=MAX_UNPACKED,
    )
    try:
        with limits:
            reader = PdfReader(cast("IO[bytes]", HurriedFile(file)), xref_stream_maximum_entries=MAX_OBJECTS)
            if not reader.is_encrypted:
                reader.root_object["/Pages"].get_object()
    # pypdf answers a broken file with its own errors, and with whatever its code ran into
    except Exception as error:
        raise ValueError("not a PDF that can be opened") from error
