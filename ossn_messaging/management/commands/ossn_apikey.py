import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.views.decorators.debug import sensitive_variables

from ossn_messaging.models import APIKey


class Command(BaseCommand):
    help = "Makes API keys, and takes over those that clients already have."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        create = actions.add_parser("create", help="make a key and print it, this once, alone on standard output")
        create.add_argument("name", metavar="NAME", help="whose key it is, for those who manage keys")
        take = actions.add_parser("import", help="read an existing key from standard input, as one line")
        take.add_argument("name", metavar="NAME", help="whose key it is, for those who manage keys")

    @sensitive_variables()
    def handle(self, *args: Any, action: str, name: str, **options: Any) -> None:
        if action == "create":
            self.stdout.write(APIKey.objects.create_key(name)[1])
            return
        try:
            APIKey.objects.import_key(name, sys.stdin.read().strip())
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stderr.write(f"The key of {name} is imported.")
