"""Good attachments with something wrong in them: ``python -m tests.robustness.mutations [--long] [--seed N]``.

Each is taken or refused, without another exception, within the address space of an inspection. The same ``--seed``
makes the same files; one that fails is kept where the message says.
"""

import argparse
import io
import logging
import multiprocessing
import os
import random
import re
import resource
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import django

from ossn_messaging.attachments.content import sanitize
from ossn_messaging.attachments.file_types import BY_EXTENSION
from ossn_messaging.attachments.rules import Rejected, Rules
from tests.support import SAMPLES_FOLDER
from tests.support.files import SAMPLES, exif, frames, picture, png_chunk, riff

SHORT, LONG = 3_000, 20_000
SEED = 8
"""Of the short form, which is the same each time."""
WORKERS = 2
PATIENCE = 60
"""In seconds, how long one file may keep a process, however little of the processor it gets."""
ROOM = 1024**3
"""In bytes, of address space, as an inspection has by default."""
MAX_SIZE, MAX_PIXELS = 25 * 1024**2, 120_000_000

Mutation = Callable[[random.Random, bytes], bytes]


def good() -> dict[str, bytes]:
    """Return the files that are changed, by their names."""
    made = {
        **SAMPLES,
        "turned.jpg": picture("JPEG", exif=exif(6)),
        "turned.png": picture("PNG", exif=exif(6)),
        "turned.webp": picture("WEBP", exif=exif(6)),
        "moving.gif": frames("GIF"),
        "moving.webp": frames("WEBP", lossless=True),
        "moving-turned.png": frames("PNG", exif=exif(8)),
        "moving-turned.webp": frames("WEBP", exif=exif(3)),
    }
    return made | {path.name: path.read_bytes() for path in sorted(SAMPLES_FOLDER.iterdir()) if path.suffix != ".md"}


# What is done to a file


def _span(numbers: random.Random, content: bytes, longest: int = 4096) -> tuple[int, int]:
    start = numbers.randrange(len(content) + 1)
    return start, min(len(content), start + int(2 ** numbers.uniform(0, longest.bit_length())))


def flip_bits(numbers: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(numbers.choice((1, 1, 1, 4, 32)) if content else 0):
        changed[numbers.randrange(len(content))] ^= 1 << numbers.randrange(8)
    return bytes(changed)


def truncate(numbers: random.Random, content: bytes) -> bytes:
    return content[: numbers.randrange(len(content) + 1)]


def insert(numbers: random.Random, content: bytes) -> bytes:
    at, size = numbers.randrange(len(content) + 1), int(2 ** numbers.uniform(0, 14))
    return content[:at] + (numbers.randbytes(size) if numbers.random() < 0.5 else bytes(size)) + content[at:]


def remove(numbers: random.Random, content: bytes) -> bytes:
    start, end = _span(numbers, content)
    return content[:start] + content[end:]


def repeat(numbers: random.Random, content: bytes) -> bytes:
    start, end = _span(numbers, content)
    return content[:end] + content[start:end] * numbers.choice((1, 1, 2, 50, 1000)) + content[end:]


def swap(numbers: random.Random, content: bytes) -> bytes:
    one, two, three, four = sorted(numbers.randrange(len(content) + 1) for _ in range(4))
    return content[:one] + content[three:four] + content[two:three] + content[one:two] + content[four:]


EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def set_number(numbers: random.Random, content: bytes) -> bytes:
    """Put an extreme number of one of the usual sizes somewhere, mostly near the beginning."""
    form = numbers.choice((">I", "<I", ">H", "<H", "B"))
    number = struct.pack(form, numbers.choice(EXTREMES) & (256 ** struct.calcsize(form) - 1))
    at = numbers.randrange(min(len(content), numbers.choice((64, 512, len(content)))) or 1)
    return content[:at] + number + content[at + len(number) :]


DIGITS = re.compile(rb"\d+")
LITERALS = (b"0", b"-1", b"1", b"65536", b"2147483647", b"4294967296", b"9" * 19, b"9" * 500, b"1e999")


def set_literal(numbers: random.Random, content: bytes) -> bytes:
    """Put an extreme number in the place of one that is written in digits."""
    found = list(DIGITS.finditer(content))
    if not found:
        return content
    place = numbers.choice(found)
    return content[: place.start()] + numbers.choice(LITERALS) + content[place.end() :]


ANYWHERE: tuple[Mutation, ...] = (
    flip_bits,
    truncate,
    insert,
    remove,
    repeat,
    swap,
    set_number,
    set_number,
    set_literal,
)


def mended_png(content: bytes) -> bytes:
    """Return a PNG whose checksums are right again, as far as it consists of chunks."""
    mended, at = content[:8], 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        if at + 12 + size > len(content):
            break
        mended += png_chunk(content[at + 4 : at + 8], content[at + 8 : at + 8 + size])
        at += 12 + size
    return mended + content[at:]


def mended_webp(content: bytes) -> bytes:
    return content[:4] + struct.pack("<I", max(0, len(content) - 8)) + content[8:]


def changed_part(numbers: random.Random, content: bytes) -> bytes:
    """Change what is packed in one entry of a package."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as package, zipfile.ZipFile(file, "w") as other:
        chosen = numbers.choice(package.namelist())
        for entry in package.infolist():
            data = package.read(entry)
            data = numbers.choice(ANYWHERE)(numbers, data) if entry.filename == chosen else data
            other.writestr(entry.filename, data, numbers.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    return file.getvalue()


STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)


def changed_stream(numbers: random.Random, content: bytes) -> bytes:
    """Change what is packed in one stream of a PDF, where it still fits."""
    found = list(STREAM.finditer(content))
    if not found:
        return content
    start, end = numbers.choice(found).span(1)
    try:
        unpacked = zlib.decompress(content[start:end])
    except zlib.error:
        return content
    packed = zlib.compress(numbers.choice(ANYWHERE)(numbers, unpacked), 9)
    return content if len(packed) > end - start else content[:start] + packed.ljust(end - start, b"\0") + content[end:]


def changed_rows(numbers: random.Random, content: bytes) -> bytes:
    """Change the rows of a PNG before they are packed."""
    at = content.find(b"IDAT")
    size = int.from_bytes(content[at - 4 : at], "big")
    unpacked = zlib.decompressobj().decompress(content[at + 4 : at + 4 + size])
    packed = png_chunk(b"IDAT", zlib.compress(numbers.choice(ANYWHERE)(numbers, unpacked)))
    return content[: at - 4] + packed + content[at + 8 + size :]


def wrapped(numbers: random.Random, content: bytes) -> bytes:
    """Put the chunks of a WebP in another order, some of them twice."""
    chunks, at = [], 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        chunks.append((content[at : at + 4], content[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return riff(*numbers.choices(chunks, k=len(chunks) + numbers.randrange(3)))


SIZES = re.compile(
    rb"(?<=\xff[\xc0-\xc2]\0.\x08)(?P<jpeg>.{4})|(?<=IHDR)(?P<png>.{8})"
    rb"|((?<=GIF8[79]a)|(?<=,\0{4}))(?P<gif>.{4})|(?<=\x9d\x01\x2a)(?P<webp>.{4})",
    re.DOTALL,
)
"""Where the formats of pictures have width and height: of the whole, or of a frame."""
FORMS = {"jpeg": ">HH", "png": ">II", "gif": "<HH", "webp": "<HH"}


def set_size(numbers: random.Random, content: bytes) -> bytes:
    """Let a picture claim as many pixels as are allowed, or a few more."""
    found = list(SIZES.finditer(content))
    width = numbers.choice((1, 763, 7000, 7071, 7072, 16_000, 65_535))
    size = (width, min(65_535, 50_000_000 // width + numbers.choice((0, 0, 1))))
    for place in numbers.choice((found, found[:1])):
        packed = struct.pack(FORMS[str(place.lastgroup)], *size)
        content = content[: place.start()] + packed + content[place.end() :]
    return content


WITHIN: Mapping[str, Mutation] = {
    "docx": changed_part,
    "pdf": changed_stream,
    "png": changed_rows,
    "webp": wrapped,
}
"""What knows what is packed in a kind of file."""
MEND: Mapping[str, Callable[[bytes], bytes]] = {"png": mended_png, "webp": mended_webp}
"""What lets a changed file be looked at beyond its checksums and sizes."""


def mutation(number: int, seed: int, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Return the name and content of one file of those that a seed stands for."""
    numbers = random.Random(f"{seed} {number}")
    name = numbers.choice(list(files))
    content, extension = files[name], name.rpartition(".")[2]
    if extension in WITHIN and numbers.random() < 0.3:
        content = WITHIN[extension](numbers, content)
    elif numbers.random() < 0.1:
        content = set_size(numbers, content)
    elif numbers.random() < 0.1:
        other = files[numbers.choice(list(files))]
        content = content[: _span(numbers, content)[0]] + other[_span(numbers, other)[0] :]
    else:
        for _ in range(numbers.choice((1, 1, 1, 2, 3))):
            content = numbers.choice(ANYWHERE)(numbers, content)
    if extension in MEND and numbers.random() < 0.6:
        content = MEND[extension](content)
    if numbers.random() < 0.05:
        name = numbers.choice(list(files))
    return name, content


# How it is judged


@dataclass(frozen=True)
class Judged:
    number: int
    verdict: str
    seconds: float
    """Of a processor's time."""
    problem: str = ""


def verdict(name: str, content: bytes) -> tuple[str, str]:
    """Return whether a file is taken, and what went wrong with that."""
    problems: list[str] = []
    sys.unraisablehook = lambda told: problems.append("".join(traceback.format_exception(told.exc_value)))
    answer = "taken"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            sanitize(content, Rules(BY_EXTENSION[name.rpartition(".")[2]].name, MAX_SIZE, MAX_PIXELS, "standard"))
        except (Rejected, MemoryError):
            answer = "refused"
        except BaseException:
            problems.append(traceback.format_exc())
    # The suite makes errors of them, by which such a file would be refused.
    if answer == "taken":
        problems += [str(warning.message) for warning in warned]
    return answer, "\n".join(problems)


def judge(numbers: range, seed: int, files: Mapping[str, bytes], results: "Connection[Judged, Any]") -> None:
    logging.disable()  # pikepdf tells all that it finds
    for name, content in files.items():  # what is imported and cached once is so from here on
        verdict(name, content)
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    for number in numbers:
        name, content = mutation(number, seed, files)
        start = time.process_time()
        answer, problem = verdict(name, content)
        results.send(Judged(number, answer, time.process_time() - start, problem))
    results.close()


class Wrong(Exception):
    """A file that is not judged as it must be."""


def kept(number: int, seed: int, files: Mapping[str, bytes]) -> str:
    """Write a file to where it stays, and return where that is."""
    name, content = mutation(number, seed, files)
    path = Path(tempfile.mkdtemp(prefix="mutation-"), name)
    path.write_bytes(content)
    return f"file {number} of this seed, which is kept at {path}"


def all_judged(count: int, seed: int, files: Mapping[str, bytes]) -> list[Judged]:
    """Judge them all, in processes of their own; raises ``Wrong`` where one dies or does not end."""
    results = list[Judged]()
    waiting: dict[Any, tuple[Any, list[int]]] = {}
    for worker in range(WORKERS):
        mine, theirs = multiprocessing.Pipe(duplex=False)
        numbers = range(worker, count, WORKERS)
        process = multiprocessing.Process(target=judge, args=(numbers, seed, files, theirs), daemon=True)
        process.start()
        theirs.close()
        waiting[mine] = process, list(reversed(numbers))
    while waiting:
        ready = wait(list(waiting), PATIENCE)
        if not ready:
            process, left = next(iter(waiting.values()))
            raise Wrong(f"not judged within {PATIENCE} seconds: {kept(left[-1], seed, files)}")
        for connection in [one for one in waiting if one in ready]:
            process, left = waiting[connection]
            try:
                results.append(connection.recv())
                left.pop()
            except EOFError:
                process.join()
                del waiting[connection]
                if left:
                    raise Wrong(f"the process died: {kept(left[-1], seed, files)}") from None
    return results


def report(results: list[Judged], seed: int, files: Mapping[str, bytes]) -> None:
    counted = Counter(judged.verdict for judged in results)
    slowest = max(results, key=lambda judged: judged.seconds)
    sys.stdout.write(
        f"{len(results)} files: {counted['taken']} taken, {counted['refused']} refused\n"
        f"the slowest took {slowest.seconds:.2f} s of a processor: {mutation(slowest.number, seed, files)[0]}\n"
    )
    for judged in results:
        if judged.problem:
            raise Wrong(f"{judged.problem}\n{kept(judged.number, seed, files)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help=f"{LONG} files, not {SHORT}")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(2**32) if options.long else SEED
    sys.stdout.write(f"seed {seed}\n")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    logging.disable()
    files = {name: content for name, content in good().items() if verdict(name, content) == ("taken", "")}
    sys.stdout.write(f"{len(files)} good files\n")
    try:
        report(all_judged(LONG if options.long else SHORT, seed, files), seed, files)
    except Wrong as error:
        sys.exit(f"{error}\nagain with --seed {seed}")


if __name__ == "__main__":
    main()
