"""Whether the time of an answer tells one wrong key from another: ``python -m tests.robustness.timing [--long]``.

Unknown keys, keys that differ from a live one in one character, and revoked keys are given to ``APIKeyAuthentication``
in one run, in a random order. What is compared is the median of each key's own times, for a key has its place in an
index, whatever it is. DATABASE_URL names the server of another database than SQLite.
"""

import argparse
import gc
import itertools
import math
import os
import random
import secrets
import statistics
import string
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.live import prepared

SHORT, LONG = 15, 250
"""How often each key is tried."""
KEYS = 200
"""How many there are of each kind, so that none is warmer than another in any cache."""
LIVE = 50
MAX_Z = 5.0
"""In standard deviations, of Mann and Whitney's U: by chance one of three pairs is beyond this once in 580,000 runs."""
ALPHABET = string.ascii_letters + string.digits + "_-"


def nearly(key: str) -> str:
    """Return a key with one character changed after its prefix."""
    at = random.randrange(len("ossn_"), len(key))
    return key[:at] + random.choice([character for character in ALPHABET if character != key[at]]) + key[at + 1 :]


def wrong_keys() -> dict[str, list[str]]:
    """Make keys in the database, and return those that are none, by their kinds."""
    from ossn_messaging.models import APIKey

    live = [APIKey.objects.create_key("live")[1] for _ in range(LIVE)]
    made = [APIKey.objects.create_key("revoked") for _ in range(KEYS)]
    for api_key, _key in made:
        api_key.revoke()
    return {
        "unknown": [f"ossn_{secrets.token_urlsafe(32)}" for _ in range(KEYS)],
        "nearly": [nearly(random.choice(live)) for _ in range(KEYS)],
        "revoked": [key for _api_key, key in made],
    }


def asker() -> Callable[[str], int]:
    """Return what asks with a wrong key, and says how many nanoseconds that took."""
    from django.test import RequestFactory
    from rest_framework.exceptions import AuthenticationFailed
    from rest_framework.request import Request

    from ossn_messaging.authentication import APIKeyAuthentication

    factory, authentication = RequestFactory(), APIKeyAuthentication()

    def ask(key: str) -> int:
        request = Request(factory.get("/", headers={"Authorization": f"Api-Key {key}"}))
        start = time.perf_counter_ns()
        try:
            authentication.authenticate(request)
        except AuthenticationFailed:
            return time.perf_counter_ns() - start
        raise RuntimeError("a wrong key was taken")

    return ask


def measured(keys: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[float]]:
    """Return the median times of the keys of each kind, in nanoseconds."""
    ask = asker()
    order = [key for kind in keys.values() for key in kind] * rounds
    random.shuffle(order)
    for key in order[:500]:  # until what is cached is cached
        ask(key)
    times: dict[str, list[int]] = {key: [] for key in order}
    gc.disable()
    for key in order:
        times[key].append(ask(key))
    gc.enable()
    return {name: [statistics.median(times[key]) for key in kind] for name, kind in keys.items()}


def z_of(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Mann and Whitney's U of two samples, in standard deviations from what it is where they are alike."""
    ranks, at = 0.0, 0
    numbered = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    for _value, group in itertools.groupby(numbered, key=lambda pair: pair[0]):
        tied = [which for _same, which in group]
        ranks += tied.count(0) * (at + (len(tied) + 1) / 2)  # each of those that are equal has the mean of their ranks
        at += len(tied)
    size = len(one) * len(other)
    u = ranks - len(one) * (len(one) + 1) / 2
    return (u - size / 2) / math.sqrt(size * (len(one) + len(other) + 1) / 12)


def told_apart(times: Mapping[str, Sequence[float]]) -> list[str]:
    """Print the medians and what is between them, and return the pairs that can be told apart."""
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    for kind, values in times.items():
        sys.stdout.write(f"{kind:10} median {medians[kind] / 1000:8.1f} us of {len(values)} keys\n")
    found = []
    for one, other in itertools.combinations(times, 2):
        z, share = z_of(times[one], times[other]), abs(medians[one] - medians[other]) / min(medians.values())
        chance = math.erfc(abs(z) / math.sqrt(2))
        sys.stdout.write(f"{one} and {other}: z {z:+.2f} (p {chance:.2g}), medians {share:.2%} apart\n")
        if abs(z) > MAX_Z:
            found.append(f"{one} and {other}")
    sys.stdout.write(f"told apart are those beyond z {MAX_Z}\n")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help=f"each key {LONG} times, not {SHORT}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, prepared(Path(folder), os.environ.get("DATABASE_URL")):
        found = told_apart(measured(wrong_keys(), LONG if options.long else SHORT))
    if found:
        sys.exit(f"the time tells apart: {', '.join(found)}")


if __name__ == "__main__":
    main()
