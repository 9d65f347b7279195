"""The databases that the app supports: where their servers are on this machine, and one that is gone at the end.

``python -m tests.support.databases`` prints a URL for each of them, for ``.ci/run``.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.support.servers import absent, accepts

POSTGRESQL = "postgres://postgres@127.0.0.1:5432/postgres"
MARIADB = "mysql://root@127.0.0.1:3306/mysql"
DATABASES = {"PostgreSQL": POSTGRESQL, "MariaDB": MARIADB, "SQLite": None}
"""``None`` is a file of SQLite."""


def url_of(database: str) -> str | None:
    """Return what ``live.prepared`` is given for a database; a test that needs it is skipped where it is not there."""
    url = DATABASES[database]
    if url and not accepts(urlsplit(url).port or 0):
        absent(database)
    return url


@contextmanager
def new_database() -> Iterator[str]:
    """Make a database with the app's tables beside that of the settings, and yield its name. It is gone at the end."""
    from django.db import connection

    before = str(connection.settings_dict["NAME"])
    name = str(connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False))
    try:
        yield name
    finally:
        connection.creation.destroy_test_db(before, verbosity=0)


if __name__ == "__main__":
    sys.stdout.writelines(f"{url or 'sqlite://:memory:'}\n" for url in DATABASES.values())
