"""Whether the tests notice what goes wrong where it must not: ``python -m tests.mutants run [PATTERN ...]``.

It is mutmut, with its commands (``results``, ``show NAME``) and its section of ``setup.cfg``. By itself it leaves out
every function that has a decorator, such as ``accepted`` and ``APIKeyManager.find``. Here such a function is mutated
too: the decorators stay on what chooses between the mutants, and the mutants have none. ``score`` is added, which
tells the share that was noticed, and which of the others ``tests/survivors.txt`` says nothing of.

It runs for a mutant the tests that have been seen to call its function. What is worked out once, such as the SQL of
``cached_query``, is forgotten before each test while that is looked at; else only the first of them would be seen.

The tests are collected and the database is made once, in the process of which each mutant's own is a fork; mutmut by
itself does both again for each.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import libcst
import pytest
from _pytest.config import _prepareconfig
from _pytest.runner import runtestprotocol
from mutmut.__main__ import cli
from mutmut.mutation import file_mutation
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import MutationVisitor, function_trampoline_arrangement
from mutmut.mutation.trampoline import get_mutant_under_test, set_mutant_under_test
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import change_cwd, walk_mutatable_files
from mutmut.workers.isolation import run_in_fork

SURVIVORS = Path(__file__).parent / "survivors.txt"
SHARE = 0.9
"""Of all mutants, how many the tests must notice."""
NOTICED = {"killed", "timeout"}
CONTROLS = 40
"""One test of so many is run without a mutant, as they are run with one."""

skips = MutationVisitor._skip_node_and_children
execute_pytest, run_tests = PytestRunner.execute_pytest, PytestRunner.run_tests


def skips_undecorated(self: MutationVisitor, node: libcst.CSTNode) -> bool:
    """Whether mutmut would leave a node alone if it had no decorators."""
    return skips(self, node.with_changes(decorators=()) if isinstance(node, libcst.FunctionDef) else node)


def arranged(
    function: libcst.FunctionDef, mutants: Iterable[Any], class_name: str | None
) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any], Sequence[str]]:
    """Do what ``function_trampoline_arrangement`` does, with the decorators on the first of its functions alone."""
    bare = function.with_changes(decorators=())
    before, nodes, after, names = function_trampoline_arrangement(bare, mutants, class_name)
    chooser: Any = nodes[0]
    chooser = chooser.with_changes(decorators=(*function.decorators, *chooser.decorators))
    return before, [chooser, *nodes[1:]], after, names


def remembering() -> Iterator[Any]:
    """Yield what the app's modules and their classes have that remembers what it has worked out."""
    for module in [module for name, module in sys.modules.items() if name.startswith("ossn_messaging")]:
        classes = [value for value in vars(module).values() if isinstance(value, type)]
        for value in [value for holder in (module, *classes) for value in vars(holder).values()]:
            if hasattr(value, "cache_clear"):
                yield value


class Forgetful:
    """A plugin of pytest."""

    def pytest_runtest_setup(self) -> None:
        if get_mutant_under_test() == "stats":
            for value in remembering():
                value.cache_clear()


def executed(self: PytestRunner, params: list[str], plugins: Sequence[Any] = (), **options: Any) -> int:
    return execute_pytest(self, params, plugins=[*plugins, Forgetful()], **options)


def warm_up(self: Any) -> None:
    """Collect the tests, make the database, and see that tests pass in a fork of this process."""
    set_mutant_under_test("")
    self.output = sys.stdout  # were it closed by itself, the first test of each fork would be warned of that
    options = ["--rootdir=.", "-p", "no:randomly", *self._pytest_add_cli_args]
    with change_cwd("mutants"):
        config = _prepareconfig([*options, *self._pytest_add_cli_args_test_selection])
        config._do_configure()
        session = pytest.Session.from_config(config)
        config.hook.pytest_sessionstart(session=session)
        config.hook.pytest_collection(session=session)
        first = next(item for item in session.items if "django_db_setup" in getattr(item, "fixturenames", ()))
        runtestprotocol(first, nextitem=session.items[-1], log=False)
    self.items = {item.nodeid: item for item in session.items}
    if run_in_fork(self.run_tests, mutant_name=None, tests=list(self.items)[::CONTROLS]):
        raise RuntimeError("tests fail without a mutant")


def ran(self: Any, *, mutant_name: str | None, tests: Iterable[str]) -> int:
    """Run tests in a fork of the process that is warm, the quickest first, up to the first that fails."""
    if not hasattr(self, "items"):
        return run_tests(self, mutant_name=mutant_name, tests=tests)
    items = sorted((self.items[test] for test in tests), key=lambda item: state().duration_by_test[item.nodeid])
    with change_cwd("mutants"):
        for item, following in pairwise([*items, None]):
            if any(report.failed for report in runtestprotocol(item, nextitem=following, log=False)):
                return 1
    return 0


def change(name: str, path: Path) -> tuple[str, ...]:
    """Return the function that a mutant is of, by its dotted name, and its lines that go and that come."""
    function = name.partition("__mutmut_")[0].replace(".x_", ".").replace(".xǁ", ".").replace("ǁ", ".")
    lines = get_diff_for_mutant(name, path=path).splitlines()
    changed = [line for line in lines if line[:1] in ("-", "+") and line[:3] not in ("---", "+++")]
    return function, *(f"{line[0]} {line[1:].strip()}" for line in changed)


def explained() -> Iterator[tuple[str, ...]]:
    """Yield the mutants that ``SURVIVORS`` gives a reason for, as ``change`` has them."""
    block: list[str] = []
    for line in [*SURVIVORS.read_text().splitlines(), ""]:
        if line[:2] in ("- ", "+ "):
            block.append(" ".join((line[0], line[1:].strip())))
            continue
        if block[1:]:
            yield tuple(block)
        block = [line]


@cli.command()
def score() -> None:
    """Print how many mutants the tests notice; fail where these are too few, or one that they don't has no reason."""
    counted, noticed, unexplained, known = Counter[str](), Counter[str](), list[str](), set(explained())
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        for name, exit_code in data.exit_code_by_key.items():
            counted[str(path)] += 1
            status = status_by_exit_code[exit_code]
            if status in NOTICED:
                noticed[str(path)] += 1
            elif status == "not checked" or change(name, path) not in known:
                unexplained.append(f"{name}: {status}")
    for module, count in counted.items():
        sys.stdout.write(f"{noticed[module]:5} of {count:5}  {noticed[module] / count:7.1%}  {module}\n")
    share = noticed.total() / counted.total()
    sys.stdout.write(f"{noticed.total():5} of {counted.total():5}  {share:7.1%}\n")
    sys.stdout.writelines(f"no reason is given for {name}\n" for name in unexplained)
    if share < SHARE or unexplained:
        sys.exit(1)


if __name__ == "__main__":
    del sys.modules["tests"]  # pytest is to find them where mutmut has copied them to
    PytestRunner.execute_pytest = executed  # type: ignore[method-assign]
    PytestRunner.warm_up = warm_up  # type: ignore[method-assign]
    PytestRunner.run_tests = ran  # type: ignore[method-assign]
    MutationVisitor._skip_node_and_children = skips_undecorated  # type: ignore[method-assign]
    file_mutation.function_trampoline_arrangement = arranged
    cli()
