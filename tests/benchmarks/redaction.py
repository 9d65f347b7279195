"""How long redaction takes per kilobyte of the worst texts: ``python -m tests.benchmarks.redaction``.

Each line is one text, without and with a known key: microseconds per kilobyte for each size, and those of the largest
divided by those of the smallest. If time is linear, that does not grow with the size. Below 10 kB, a known key may be
longer than the text and cost nothing.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from ossn_messaging.redaction import MAX_SECRET_LENGTH, encoded_variants, redact

KILOBYTE = 1024
LONG = 2**20
"""Longer than each text."""
KEY = ("\"'\\é" * MAX_SECRET_LENGTH)[:MAX_SECRET_LENGTH]
WORST = {
    "nothing to redact": "the quick brown fox jumps over the lazy dog. ",
    "first characters of names": "aosA",
    "spaces after a name": "'signature':" + " " * LONG,
    "names and spaces": "'signature': ",
    "values without end": "'signature': '",
    "a value of backslashes": "'signature': '" + "\\" * LONG,
    "quotes in a value": "'signature': \"" + "'\\'" * LONG,
    "backslashes": "\\",
    "a name and backslashes": "signature" + "\\" * 20,
    "backslashes in a query": "signature=" + "\\" * LONG,
    "quotes in a query": "signature=" + "\"'" * LONG,
    "nested quotes": "\\\"\\\\\\'",
    "quotes after names": 'signature"',
    "percent signs": "%25",
    "a long chain": "%" + "25" * LONG,
    "chains in a name": "%252525" + "73%25252569",
    "chains in a query": "signature%2525253d%25252525",
    "a part": 'name="signature"' + "x" * 250,
    "headers of a part": 'signature"' + ("\n" + "x" * 190) * 4,
    "short headers of a part": 'signature"\nx\nx\nx\n',
    "escaped headers of a part": 'signature"' + r"\\\r\\\n" * 3,
    "line ends in a part": 'signature"\n\n' + r"\\\\\\\\\r" * LONG,
    "a header's name": "api-key",
    "headers": "api-key ",
    "spaces in a header": "api-key" + " " * 199,
    "encoded spaces in a header": "api-key" + "%25252520" * 199,
    "a realm": "api-key realm=",
    "starts of keys": "ossn_",
    "keys that are too short": "ossn_" + "aB" * 21 + " ",
    "keys without capital letters": "ossn_" + "a" * 43,
    "encoded keys": "ossn_" + "%2525255f" * 42 + " ",
    "methods": "GET ",
    "methods and paths": "GET /x?y",
    "a long path": "GET /" + "x" * LONG,
    "capital letters": "ABCDEFGHIJK",
    "mixed case": "SiGnAtUr",
    "letters that are equal in another case": "\u017fignatur\u017f",
    "line ends": "\r\n",
    "the key": KEY,
    "the key, all but its end": KEY[:-1],
    "the key's characters": KEY[:2],
}


def text_of(pattern: str, length: int) -> str:
    return (pattern * (length // len(pattern) + 1))[:length]


def time_per_kilobyte(pattern: str, kilobytes: int, secrets: Sequence[str]) -> float:
    """Return the microseconds of the processor, by the best of several rounds."""
    text, best = text_of(pattern, kilobytes * KILOBYTE), float("inf")
    for _ in range(5 if kilobytes < 100 else 1):
        start = time.process_time()
        redact(text, secrets)
        best = min(best, time.process_time() - start)
    return best / kilobytes * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.redaction", description=__doc__.splitlines()[0])
    parser.add_argument("--kilobytes", type=int, nargs="+", default=[1, 10, 100, 1000], help="the sizes of the texts")
    sizes = parser.parse_args().kilobytes
    known = sorted(encoded_variants(KEY), key=len, reverse=True)
    for secrets in ((), known):
        sys.stdout.write(f"with a known key in {len(secrets)} variants\n" if secrets else "without a known key\n")
        for name, pattern in WORST.items():
            times = [time_per_kilobyte(pattern, size, secrets) for size in sizes]
            columns = "".join(f"{microseconds:8.0f}" for microseconds in times)
            sys.stdout.write(f"{name:40}{columns}{times[-1] / times[0]:8.1f}\n")


if __name__ == "__main__":
    main()
