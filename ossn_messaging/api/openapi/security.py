"""The security schemes of the API in OpenAPI. That of the API key is for the views of the site, too."""

from typing import Any, cast

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from ossn_messaging.api.endpoints import Endpoint
from ossn_messaging.authentication import APIKeyAuthentication

HEADER, QUERY = "ossnKeyInHeader", "ossnKeyInQuery"
SESSION, CSRF_TOKEN = "ossnSession", "ossnCSRFToken"
EITHER: list[dict[str, list[str]]] = [{HEADER: []}, {QUERY: []}]


class APIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "ossn_messaging.authentication.APIKeyAuthentication"
    match_subclasses = True
    name = [HEADER, QUERY]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[str]]]:
        return EITHER

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        keyword, parameter = APIKeyAuthentication.keyword, APIKeyAuthentication.parameter
        return [
            {"type": "apiKey", "in": "header", "name": "Authorization", "description": f"`{keyword} KEY`"},
            {"type": "apiKey", "in": "query", "name": parameter, "description": "`KEY`"},
        ]


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "ossn_messaging.authentication.SessionAuthentication"
    name = [SESSION, CSRF_TOKEN]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[str]]]:
        if auto_schema.method == "POST":
            return [{SESSION: [], CSRF_TOKEN: []}]
        return [{SESSION: []}] if cast(Endpoint, auto_schema.view).scope == "read" else []

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        header = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").title()
        return [
            {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME},
            {"type": "apiKey", "in": "header", "name": header},
        ]
