"""Whether the tests notice what goes wrong where it must not: ``python -m tests.mutants run [PATTERN ...]``.

It is mutmut, with its commands (``results``, ``show NAME``) and its section of ``setup.cfg``. By itself it leaves out
every function that has a decorator, such as ``accepted`` and ``APIKeyManager.find``. Here such a function is mutated
too: the decorators stay on what chooses between the mutants, and the mutants have none.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import libcst
from mutmut.__main__ import cli
from mutmut.mutation import file_mutation
from mutmut.mutation.file_mutation import MutationVisitor, function_trampoline_arrangement

skips = MutationVisitor._skip_node_and_children


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


if __name__ == "__main__":
    MutationVisitor._skip_node_and_children = skips_undecorated  # type: ignore[method-assign]
    file_mutation.function_trampoline_arrangement = arranged
    cli()
