"""What the app costs beside the least that could be done for the same request.

Each line is one comparison: how often a second the app did it, how often the reference, the median of the ratios, and
the least and the largest of them. The two are measured in turn, under gunicorn with as many workers as this machine has
cores, and asked from a process of their own. The references of sends and reads are the views in ``bare.py``, of
downloads nginx that serves the file, and of pictures Pillow that decodes and encodes them, with as many processes.
"""

import argparse
import os
import subprocess
import sys

from tests.benchmarks import start
from tests.support.databases import DATABASES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each of the two is measured")
    parser.add_argument("--seconds", type=float, default=3, help="how long each time")
    parser.add_argument("--only", default="", help="the comparisons with this in their names")
    parser.add_argument("databases", nargs="*", metavar="DATABASE", help=f"{', '.join(DATABASES)} (all)")
    options = parser.parse_args()
    if not options.only:
        start.main()
    settings = [f"--rounds={options.rounds}", f"--seconds={options.seconds}", f"--only={options.only}"]
    for name in options.databases or DATABASES:
        sys.stdout.write(f"{name}, {os.cpu_count()} cores\n")
        sys.stdout.flush()
        url = DATABASES[name]
        command = [sys.executable, "-m", "tests.benchmarks.compare", *settings, *([url] if url else [])]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
