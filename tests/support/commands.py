"""Management commands, called as from the command line."""

from io import StringIO

from django.core.management import CommandError, call_command


def run_command(name: str, *arguments: str) -> tuple[int, list[str]]:
    """Run a management command, and return its exit status and the lines that it printed."""
    printed = StringIO()
    status = 0
    try:
        call_command(name, *arguments, stdout=printed)
    except CommandError as error:
        status = error.returncode
    return status, printed.getvalue().splitlines()
