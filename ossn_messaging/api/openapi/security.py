"""The security schemes of the API key in OpenAPI, for the views of this app and of the site."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from ossn_messaging.authentication import APIKeyAuthentication

HEADER, QUERY = "ossnKeyInHeader", "ossnKeyInQuery"
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
