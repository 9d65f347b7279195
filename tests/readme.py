"""The README's blocks of code, each of which a test runs; ``python -m tests.readme demo`` prints that command."""

import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
COMMAND = re.compile(r"<!-- command: (\w+) -->\n```bash\n(.+)\n```")
BLOCK = re.compile(r"^(<!-- command: \w+ -->\n)?```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# ([\w.]+\.py)\b")
MORE = re.compile(r"(\w+) = ([\[{])\n    # \.\.\.\n")


@dataclass(frozen=True)
class Block:
    kind: str
    """The file that its first line names; else its language, or what else it is alone in."""
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.kind}, line {self.line}"

    def in_a_site(self) -> str:
        """Return it as it would be added to a file: with what the file had before in the place of ``# ...``."""
        unpacked = {"[": "*", "{": "**"}
        return MORE.sub(lambda found: f"{found[1]} = {found[2]}\n    {unpacked[found[2]]}{found[1]},\n", self.text)


CLAIMED: Counter[Block] = Counter()
"""How often tests have said that they run each block."""


def _kind(marked: str, language: str, text: str) -> str:
    if marked:
        return "command"
    if "INSTALLED_APPS = " in text:
        return "INSTALLED_APPS"
    named = FILE.match(text)
    return named[1] if named else language


def blocks() -> list[Block]:
    """Return all of them, in their order."""
    readme = README.read_text()
    return [
        Block(_kind(*found.groups(default="")), found[3], readme.count("\n", 0, found.start()) + 1)
        for found in BLOCK.finditer(readme)
    ]


def claimed(*kinds: str, holding: str = "") -> list[Block]:
    """Return the blocks of these kinds that hold a text, for the one test that runs them."""
    found = [block for block in blocks() if block.kind in kinds and holding in block.text]
    CLAIMED.update(found)
    return found


def the_block(kind: str, holding: str = "") -> str:
    """Return the text of the one block of a kind that holds a text, for a test that looks closer."""
    (found,) = (block.text for block in blocks() if block.kind == kind and holding in block.text)
    return found


def command(name: str) -> str:
    """Return the one line below ``<!-- command: NAME -->``."""
    (line,) = (line for found, line in COMMAND.findall(README.read_text()) if found == name)
    return str(line)


if __name__ == "__main__":
    sys.stdout.write(command(sys.argv[1]) + "\n")
