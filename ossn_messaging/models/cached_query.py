"""Queries whose SQL Django makes once.

To build a queryset and its SQL takes Django longer than it takes the database to answer, and each request has the
same few.
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
    """Stands in a query for a value that each execution has another of."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


@dataclass(frozen=True)
class Statement(Generic[Row]):
    """A queryset, and the compiler that has made its SQL."""

    queryset: "models.QuerySet[Any, Row]"
    compiler: Any
    sql: str
    params: tuple[Any, ...]
    converters: Any

    def execute(self, using: str, values: tuple[Any, ...]) -> list[Row]:
        """Let Django make of the rows what it does of any other's, without what it would find out again."""
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
        # A clone by Django's own ways took a fifth of all this.
        queryset = object.__new__(type(self.queryset))
        queryset.__dict__ |= self.queryset.__dict__ | {"_query": query}
        return list(queryset)


class Compiled(Generic[Row]):
    """A method of a queryset that builds another of parameters, and of what else gives its SQL another shape.

    Called, it returns a list of what that finds. Of a part of a table it is built each time: the part may be another.
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
            whole = type(queryset)(queryset.model, using=using)  # without what else one may have asked for
            built = self.build(whole, *map(Parameter, range(len(values))), **shape)
            compiler = built.query.get_compiler(using)
            sql, params = compiler.as_sql()
            converters = compiler.get_converters([column for column, *_others in compiler.select])
            statement = self.statements[key] = Statement(built, compiler, sql, params, converters)
        return statement.execute(using, values)
