"""Runs the attacks one after the other: ``python -m tests.robustness [--long] [PART ...]``."""

import argparse
import sys

from tests.robustness.program import statuses

PARTS = ["kill", "database", "storage", "concurrency", "requests", "mutations", "exhaust"]

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.robustness", description="Attacks the app.")
    parser.add_argument("--long", action="store_true", help="attack for minutes instead of seconds")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all where none is named")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    long = ["--long"] if options.long else []
    sys.exit(statuses(options.parts or PARTS, lambda part: [f"tests.robustness.{part}", *long]))
