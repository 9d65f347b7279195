"""The operations of a schema: one for each method of each URL of the app."""

from dataclasses import replace
from typing import Any, cast

from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent

from ossn_messaging.api.endpoints import Endpoint, EnvelopeView
from ossn_messaging.api.openapi.descriptions import DESCRIPTIONS, JSON, MULTIPART, Description
from ossn_messaging.api.openapi.parameters import KEY, Parameter
from ossn_messaging.api.openapi.responses import URL_TOO_LONG, responses
from ossn_messaging.api.openapi.schemas import PREFIX, Schema, example, schemas
from ossn_messaging.api.openapi.security import EITHER


class OperationSchema(AutoSchema):
    """Describes an operation without serializers, which drf-spectacular would read but the app's views do not have."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> dict[str, Any]:
        self.registry, self.method = registry, method
        view = cast(EnvelopeView, self.view)
        for name, schema in schemas().items():
            self.component(ResolvedComponent.SCHEMA, name, schema)
        description = DESCRIPTIONS[type(view)]
        operation: dict[str, Any] = {
            "operationId": _operation_id(path, method, description),
            "summary": description.summary,
            "tags": [_tag(path, description)],
            **_request(method, description, _parameters(view, description)),
            "responses": {
                status: self.component(ResolvedComponent.RESPONSE, name, response)
                for status, name, response in responses(view, description)
            },
        }
        if method == "GET":
            operation["responses"]["414"] = self.component(ResolvedComponent.RESPONSE, "UrlTooLong414", URL_TOO_LONG)
        if description.payload:
            operation["security"] = self.get_auth()
        elif description.optional_key:
            operation["security"] = [{}, *EITHER]
        return operation

    def component(self, kind: str, name: str, content: Schema) -> Schema:
        """Register a component of the schema once, and return a reference to it."""
        component = ResolvedComponent(f"{PREFIX}{name}", kind, content, OperationSchema)  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(component)
        return component.ref


def _is_version_1(path: str) -> bool:
    return "/v1.0/" in path


def _operation_id(path: str, method: str, description: Description) -> str:
    """Return an id such as ``sendMessage``, ``sendMessageByGet``, ``sendMessageV1`` or ``sendMessageV1ByGet``.

    The operation that clients should use has the shortest id.
    """
    version = "V1" if _is_version_1(path) else ""
    by_get = "ByGet" if method == "GET" and description.payload else ""
    return f"{description.operation_id}{version}{by_get}"


def _tag(path: str, description: Description) -> str:
    if not description.payload:
        return _("Files")
    if "/user/" in path:
        return _("Blocks")
    return _("Messages, version 1.0") if _is_version_1(path) else pgettext("of users", "Messages")


def _parameters(view: EnvelopeView, description: Description) -> list[Parameter]:
    """Return the parameters of an operation. If sessions are allowed, the acting user may be left out."""
    implied = view.user_parameter if isinstance(view, Endpoint) and view.allows_sessions else None
    return [replace(one, required=False) if one.name == implied else one for one in description.parameters()]


def _request(method: str, description: Description, parameters: list[Parameter]) -> dict[str, Any]:
    """Return the parameters and body of a request. For POST, the query parameters are described in the body."""
    query = [parameter for parameter in parameters if parameter.location == "query"]
    others = [parameter for parameter in parameters if parameter.location in ("path", "header")]
    if method == "GET":
        return {"parameters": [parameter.parameter_object() for parameter in (*others, *query)]}
    files = [parameter for parameter in parameters if parameter.location == "file"]
    content = {
        content_type: _body(content_type, [*query, *(files if content_type == MULTIPART else []), KEY])
        for content_type in description.body_types
    }
    return {
        "parameters": [parameter.parameter_object() for parameter in others],
        "requestBody": {"content": content, "required": True},
    }


def _body(content_type: str, parameters: list[Parameter]) -> dict[str, Any]:
    """Return the content of a request body. In JSON, its example has only the required parameters."""
    schema: Schema = {
        "type": "object",
        "properties": {one.name: one.schema | {"description": one.description} for one in parameters},
    }
    required = [one.name for one in parameters if one.required]
    if required:  # OpenAPI 3.0 allows no empty list
        schema["required"] = required
    if content_type != JSON:
        return {"schema": schema}
    return {"schema": schema, "example": {one.name: example(one.schema, {}) for one in parameters if one.required}}
