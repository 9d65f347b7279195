"""Django's backend for PostgreSQL, which empties the tables after each test in a tenth of the time."""
