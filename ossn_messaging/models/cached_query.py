"""Queries whose SQL Django compiles once.

Django takes longer to build a queryset and its SQL than the database takes to answer, and every request uses the same
few queries.
"""

from collections.abc import Callable, Hashable
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from django.db import connections, models
from django.db.models import Expression

Row = TypeVar("Row")


class Parameter(Expression):
    """A placeholder in a query for a value that changes with each execution."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


@dataclass(frozen=True)
class Statement(Generic[Row]):
    """A queryset with its compiler and its compiled SQL."""

    queryset: "models.QuerySet[Any, Row]"
    compiler: Any
    sql: str
    params: tuple[Any, ...]
    converters: Any

    def execute(self, using: str, values: tuple[Any, ...]) -> list[Row]:
        """Run the SQL with ``values``, and return the results as the queryset itself would.

        Django converts the rows with the stored compiler and converters, so that it does not compute them again.
        """
        connection = connections[using]
        given = [*map(connection.ops.adapt_unknown_value, values)]
        params = [given[param.index] if isinstance(param, Parameter) else param for param in self.params]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, params)
            rows = cursor.fetchall()
        compiler = copy(self.compiler)
        compiler.connection = connection
        compiler.execute_sql = lambda *args, **options: [rows]
        compiler.get_converters = lambda expressions: self.converters
        query = copy(self.queryset.query)
        query.get_compiler = lambda using: compiler  # type: ignore[method-assign,assignment,misc]
        # Django's own way to clone a queryset took a fifth of the time of this method.
        queryset = object.__new__(type(self.queryset))
        queryset.__dict__ |= self.queryset.__dict__ | {"_query": query}
        return list(queryset)


class Compiled(Generic[Row]):
    """A decorator for queryset methods that return another queryset. It compiles the SQL of that queryset once.

    A call of the decorated method returns a list of results. Positional arguments are parameters of the SQL. Keyword
    arguments can change the SQL itself, so it is compiled once for each combination of their values. If the queryset is
    already filtered, its SQL is compiled at each call, because the filter may differ.
    """

    def __init__(self, build: "Callable[..., models.QuerySet[Any, Row]]") -> None:
        self.build = build
        self.statements: dict[Hashable, Statement[Row]] = {}

    def __get__(self, queryset: "models.QuerySet[Any] | None", owner: type) -> "Callable[..., list[Row]]":
        return self if queryset is None else partial(self, queryset)

    def __call__(self, queryset: "models.QuerySet[Any]", *values: Any, **shape: Hashable) -> list[Row]:
        if queryset.query.where:
            return list(self.build(queryset, *values, **shape))
        using = queryset.db
        key = (using, queryset.model._meta.label, len(values), *shape.values())
        statement = self.statements.get(key)
        if statement is None:
            whole = type(queryset)(queryset.model, using=using)  # without ordering, annotations, etc.
            built = self.build(whole, *map(Parameter, range(len(values))), **shape)
            compiler = built.query.get_compiler(using)
            sql, params = compiler.as_sql()
            converters = compiler.get_converters([column for column, *_others in compiler.select])
            statement = self.statements[key] = Statement(built, compiler, sql, params, converters)
        return statement.execute(using, values)
