from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, router

from ossn_messaging.management.progress import show_progress
from ossn_messaging.models import Conversation
from ossn_messaging.models.repair import find_differences, rebuild


class Command(BaseCommand):
    help = "Looks after the counters and sequence numbers of conversations."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        check = actions.add_parser(
            "check", help="compare the conversations with the messages; the exit status is 1 if they differ"
        )
        check.add_argument("--fix", action="store_true", help="correct the conversations that differ")

    def handle(self, *args: Any, fix: bool, verbosity: int, **options: Any) -> None:
        using = router.db_for_write(Conversation)
        progress = partial(show_progress, stderr=self.stderr, silent=verbosity == 0)
        found = fixed = 0
        for difference in find_differences(using, progress):
            found += 1
            result = ""
            if fix:
                try:
                    rebuild(difference.user_id, difference.other_id, using)
                except DatabaseError as error:  # for example, one of the users was deleted meanwhile
                    result = f"; could not be corrected: {error}"
                else:
                    fixed += 1
                    result = "; corrected"
            self.stdout.write(f"user {difference.user_id} with {difference.other_id}: {difference.detail}{result}")
        self.stdout.write(f"{found} differences" + (f", {fixed} corrected" if fix else ""))
        if found > fixed:
            raise CommandError("Conversations and messages differ.")
