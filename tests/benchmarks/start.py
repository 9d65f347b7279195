"""How much longer ``django.setup()`` takes with the app: ``python -m tests.benchmarks.start``."""

import statistics
import subprocess
import sys

ROUNDS = 15
DJANGO = [f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "sessions", "messages")]
SITE = """
import sys, time
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=sys.argv[1:], BASE_DIR="", SECRET_KEY="a benchmark's")
start = time.perf_counter()
django.setup()
print(time.perf_counter() - start)
"""


def setup(*apps: str) -> float:
    """Return how long it took in a process of its own, in milliseconds."""
    done = subprocess.run([sys.executable, "-c", SITE, *DJANGO, *apps], capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000


def main() -> None:
    times = [(setup(), setup("ossn_messaging")) for _ in range(ROUNDS)]
    without = statistics.median(bare for bare, _own in times)
    more = sorted(own - bare for bare, own in times)
    spread = f"{more[0]:.0f} to {more[-1]:.0f}"
    sys.stdout.write(
        f"django.setup(): {without:.0f} ms, {statistics.median(more):.0f} ms more with the app ({spread})\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
