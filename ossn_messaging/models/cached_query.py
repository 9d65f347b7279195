"""Queries whose SQL Django builds only once.

Django takes longer to build a queryset and its SQL than the database takes to answer, and every request uses the same
few queries. So the SQL is kept, each call runs it on a cursor with its own values, and ``Model.from_db()`` makes the
objects.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, TypeVar

from django.db import connections, models
from django.db.models import Expression

Object = TypeVar("Object", bound=models.Model)
Row = TypeVar("Row", bound="Sequence[Any]")


def cached_query(
    *, related: tuple[str, ...] = (), annotations: tuple[str, ...] = ()
) -> "Callable[[Callable[..., models.QuerySet[Object]]], Callable[..., list[Object]]]":
    """Decorate a queryset method that returns another queryset, so that its SQL is built once.

    The decorated method returns a list of objects, with the ``related`` objects and the ``annotations`` of these names.
    Positional arguments are parameters of the SQL: integers or strings. Keyword arguments can change the SQL itself, so
    it is built once for each combination of their values.

    If the queryset is already filtered, its SQL is built at each call, because the filter may differ.
    """

    def decorate(build: "Callable[..., models.QuerySet[Object]]") -> "Callable[..., list[Object]]":
        def build_rows(queryset: "models.QuerySet[Object]", *values: Any, **variant: Hashable) -> Any:
            columns = get_layout(queryset.model, related, annotations).columns
            return build(queryset, *values, **variant).values_list(*columns)

        @wraps(build)
        def find(queryset: "models.QuerySet[Object]", *values: Any, **variant: Hashable) -> list[Object]:
            if is_filtered(queryset):
                with_related = queryset.select_related(*related) if related else queryset
                return list(build(with_related, *values, **variant))
            layout, using = get_layout(queryset.model, related, annotations), queryset.db
            return [layout.load(using, row) for row in fetch_rows(build_rows, queryset, values, variant)]

        return find

    return decorate


def cached_rows(build: "Callable[..., models.QuerySet[Any, Row]]") -> "Callable[..., list[Row]]":
    """Decorate a queryset method that returns a ``values_list()`` as ``cached_query()`` does.

    The decorated method returns a list of rows.
    """

    @wraps(build)
    def find_rows(queryset: "models.QuerySet[models.Model]", *values: Any, **variant: Hashable) -> list[Row]:
        if is_filtered(queryset):
            return list(build(queryset, *values, **variant))
        return fetch_rows(build, queryset, values, variant)

    return find_rows


def is_filtered(queryset: "models.QuerySet[Any]") -> bool:
    """Return whether a queryset may lack some of the objects of its model."""
    return bool(queryset.query.where)


def fetch_rows(
    build: "Callable[..., models.QuerySet[Any, Any]]",
    queryset: "models.QuerySet[models.Model, Any]",
    values: Sequence[Any],
    variant: Mapping[str, Hashable],
) -> list[Any]:
    """Return the rows of the queryset that ``build`` returns for ``values``."""
    using = queryset.db
    prepared = prepare_query(build, type(queryset), queryset.model, using, len(values), **variant)
    return prepared.execute(using, values)


class Parameter(Expression):
    """A placeholder in a query for a value that changes with each execution."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


@dataclass(frozen=True)
class PreparedQuery:
    """The SQL of a query, and what converts the values that the database returns, by their positions in a row."""

    sql: str
    params: tuple[Any, ...]
    converters: Mapping[int, tuple[Sequence[Callable[..., Any]], Any]]

    def execute(self, using: str, values: Sequence[Any]) -> list[Any]:
        """Run the SQL with ``values``, and return the rows."""
        connection = connections[using]
        params = [values[param.index] if isinstance(param, Parameter) else param for param in self.params]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, params)
            rows = [*map(list, cursor.fetchall())]
        for position, (convert_in_turn, expression) in self.converters.items():
            for row in rows:
                for convert in convert_in_turn:
                    row[position] = convert(row[position], expression, connection)
        return rows


@cache
def prepare_query(
    build: "Callable[..., models.QuerySet[Any, Any]]",
    queryset_class: "type[models.QuerySet[Any]]",
    model: type[models.Model],
    using: str,
    value_count: int,
    **variant: Hashable,
) -> PreparedQuery:
    """Return the query that ``build`` makes of a new queryset, which has no ordering and no annotations."""
    queryset = build(queryset_class(model, using=using), *map(Parameter, range(value_count)), **variant)
    compiler = queryset.query.get_compiler(using)
    sql, params = compiler.as_sql()
    return PreparedQuery(sql, params, compiler.get_converters([column for column, *_others in compiler.select]))


class Layout:
    """The columns of a row: those of an object, those of its related objects, and annotations."""

    def __init__(self, model: type[models.Model], related: tuple[str, ...], annotations: tuple[str, ...]) -> None:
        self.model, self.names, self.annotations = model, field_names(model), annotations
        fields: dict[str, Any] = {name: model._meta.get_field(name) for name in related}
        self.related = [(name, field, field_names(field.related_model)) for name, field in fields.items()]

    @property
    def columns(self) -> list[str]:
        """The arguments of ``values_list()``."""
        of_related = [f"{relation}__{name}" for relation, _field, names in self.related for name in names]
        return [*self.names, *of_related, *self.annotations]

    def load(self, using: str, row: Sequence[Any]) -> Any:
        """Return the object of a row."""
        end = len(self.names)
        loaded = self.model.from_db(using, self.names, row[:end])
        for relation, field, names in self.related:
            start, end = end, end + len(names)
            values = row[start:end]
            if any(value is not None for value in values):
                setattr(loaded, relation, field.related_model.from_db(using, names, values))
            else:
                field.set_cached_value(loaded, None)
        for annotation, value in zip(self.annotations, row[end:], strict=True):
            setattr(loaded, annotation, value)
        return loaded


get_layout = cache(Layout)


def field_names(model: type[models.Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]
