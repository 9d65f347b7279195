"""The commands that the README promises: ``python -m tests.readme NAME`` prints one."""

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def command(name: str) -> str:
    """Return the one line below ``<!-- command: NAME -->``."""
    found = re.findall(rf"<!-- command: {name} -->\n```bash\n(.+)\n```", README.read_text())
    assert len(found) == 1, f"{len(found)} commands {name!r}"
    line: str = found[0]
    return line


def blocks(language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


if __name__ == "__main__":
    sys.stdout.write(command(sys.argv[1]) + "\n")
