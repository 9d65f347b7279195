"""What the README says of settings and commands is so."""

import ast
import re

import pytest

from ossn_messaging.conf import Settings
from tests.readme import README, blocks, command


def test_the_table_of_settings_is_complete() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `(.+?)` \|", README.read_text(), re.MULTILINE))
    assert {name: ast.literal_eval(default) for name, default in rows.items()} == {
        name: setting.default for name, setting in Settings.all().items()
    }
    assert list(rows) == list(Settings.all())


@pytest.mark.parametrize("name", ["demo", "tests"])
def test_each_command_is_one_line(name: str) -> None:
    assert command(name).startswith("python3 -m venv .venv && ")


def test_python_blocks_are_python() -> None:
    assert len(blocks("python")) > 3
    for block in blocks("python"):
        ast.parse(block)
