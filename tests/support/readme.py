"""The blocks of code in the README and the manual, each of which a test runs.

``python -m tests.support.readme demo`` prints the README's command of that name.
"""

import re
import sys
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch

from tests.support import ROOT

README = ROOT / "README.md"
TUTORIAL = "docs/tutorial.md"
"""Its blocks build on each other, so one test follows it from the first to the last."""
COMMAND = re.compile(r"<!-- command: (\w+) -->\n```bash\n(.+)\n```")
BLOCK = re.compile(r"^(<!-- command: \w+ -->\n)?```([\w+]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DIRECTIVE = re.compile(r"^```\{([\w-]+)\}.*?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
"""Such as a warning or a table of contents: no code."""
FILE = re.compile(r"(?:#|\{#) ([\w./]+\.(?:py|html))\b")
MORE = re.compile(r"(\w+) = ([\[{])\n    # \.\.\.\n")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TARGET = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[.+?\]\((.+?)\)")


@dataclass(frozen=True)
class Block:
    page: str
    """Its path from the root of the repository."""
    kind: str
    """The file that its first line names; else its language, or what else it is alone in."""
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}, {self.kind}"

    def in_a_site(self) -> str:
        """Return it as it would be added to a file: with what the file had before in the place of ``# ...``."""
        unpacked = {"[": "*", "{": "**"}
        return MORE.sub(lambda found: f"{found[1]} = {found[2]}\n    {unpacked[found[2]]}{found[1]},\n", self.text)


CLAIMED: Counter[Block] = Counter()
"""How often tests have said that they run each block."""


def pages() -> dict[str, str]:
    """Return the text of each page by its path, those of the manual in the order of its contents."""
    index = (ROOT / "docs/index.md").read_text()
    contents = "\n".join(text for name, text in DIRECTIVE.findall(index) if name == "toctree")
    in_order = [f"docs/{name}.md" for name in re.findall(r"^([\w/-]+)$", contents, re.MULTILINE)]
    names = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/index.md", *in_order]
    return {name: (ROOT / name).read_text() for name in names}


def _kind(marked: str, language: str, text: str) -> str:
    if marked:
        return "command"
    if "INSTALLED_APPS = " in text:
        return "INSTALLED_APPS"
    named = FILE.match(text)
    return named[1] if named else language


def blocks(page: str = "*") -> list[Block]:
    """Return the blocks of the pages whose path matches, in their order."""
    code = {name: DIRECTIVE.sub(_blank, text) for name, text in pages().items() if fnmatch(name, page)}
    return [
        Block(name, _kind(*found.groups(default="")), found[3], text.count("\n", 0, found.start()) + 1)
        for name, text in code.items()
        for found in BLOCK.finditer(text)
    ]


def _blank(found: re.Match[str]) -> str:
    """Return as many lines without anything in them, which keeps the numbers of those behind."""
    return "\n" * found[0].count("\n")


def claimed(*kinds: str, holding: str = "", page: str = "*") -> list[Block]:
    """Return the blocks of these kinds that hold a text, for the one test that runs them.

    Those of the tutorial are left out unless ``page`` names it.
    """
    found = [
        block
        for block in blocks(page)
        if (block.kind in kinds or not kinds) and holding in block.text and (block.page != TUTORIAL or page == TUTORIAL)
    ]
    CLAIMED.update(found)
    return found


def the_block(kind: str, holding: str = "") -> str:
    """Return the text of the one block of the how-to guides that holds a text, for a test that looks closer."""
    (found,) = (block.text for block in blocks("docs/howto/*") if block.kind == kind and holding in block.text)
    return found


def anchors(text: str) -> set[str]:
    """Return what a link to a part of a page may name."""
    slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}
    return slugs | {slug.replace("_", "-") for slug in slugs} | set(TARGET.findall(text))


def command(name: str) -> str:
    """Return the one line below ``<!-- command: NAME -->``."""
    (line,) = (line for found, line in COMMAND.findall(README.read_text()) if found == name)
    return str(line)


if __name__ == "__main__":
    sys.stdout.write(command(sys.argv[1]) + "\n")
