"""The operations of a schema: one for each method of each URL of the app."""

import re
from typing import Any, cast

from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent

from ossn_messaging.api.endpoints import EnvelopeView
from ossn_messaging.api.openapi.answers import URL_TOO_LONG, answers
from ossn_messaging.api.openapi.descriptions import DESCRIPTIONS, Description
from ossn_messaging.api.openapi.parameters import FORMS, KEY, MULTIPART, Parameter
from ossn_messaging.api.openapi.security import EITHER
from ossn_messaging.api.openapi.shapes import PREFIX, Shape, shapes

WORD = re.compile(r"\w+")


class OperationSchema(AutoSchema):
    """Describes an operation without serializers, which drf-spectacular would read but the app's views do not have."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> dict[str, Any]:
        self.registry = registry
        view = cast(EnvelopeView, self.view)
        for name, shape in shapes().items():
            self.component(ResolvedComponent.SCHEMA, name, shape)
        description = DESCRIPTIONS[type(view)]
        operation: dict[str, Any] = {
            "operationId": "_".join([*WORD.findall(path), method.lower()]),
            "summary": description.summary,
            "tags": [_tag(path, description)],
            **_request(method, description.parameters()),
            "responses": {
                status: self.component(ResolvedComponent.RESPONSE, name, answer)
                for status, name, answer in answers(view, description)
            },
        }
        if method == "GET":
            operation["responses"]["414"] = self.component(ResolvedComponent.RESPONSE, "UrlTooLong414", URL_TOO_LONG)
        if description.payload:
            operation["security"] = self.get_auth()
        elif description.for_some:
            operation["security"] = [{}, *EITHER]
        return operation

    def component(self, kind: str, name: str, content: Shape) -> Shape:
        """Register a component of the schema once, and return a reference to it."""
        component = ResolvedComponent(f"{PREFIX}{name}", kind, content, OperationSchema)  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(component)
        return component.ref


def _tag(path: str, description: Description) -> str:
    if not description.payload:
        return _("Files")
    return _("Messages, version 1.0") if "/v1.0/" in path else pgettext("of users", "Messages")


def _request(method: str, parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """Return the parameters and body of a request. For POST, the query parameters are described in the body."""
    inside = [parameter for parameter in parameters if parameter.place == "query"]
    outside = [parameter for parameter in parameters if parameter.place in ("path", "header")]
    if method == "GET":
        return {"parameters": [parameter.described() for parameter in (*outside, *inside)]}
    files = [parameter for parameter in parameters if parameter.place == "file"]
    content = {form: {"schema": _body([*inside, *(files if form == MULTIPART else []), KEY])} for form in FORMS}
    return {
        "parameters": [parameter.described() for parameter in outside],
        "requestBody": {"content": content, "required": True},
    }


def _body(parameters: list[Parameter]) -> Shape:
    return {
        "type": "object",
        "properties": {one.name: one.shape | {"description": one.description} for one in parameters},
        "required": [one.name for one in parameters if one.required],
    }
