"""`/docs`: Swagger UI from an installed package, so that it works without the internet."""

import base64
import hashlib
from http import HTTPStatus
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from litestar import Request, Response, Router
from litestar.datastructures import CacheControlHeader
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Tag
from litestar.static_files import create_static_files_router

from herald.api.http.problems import ProblemError
from herald.api.shapes.schemas import BodySchemas
from herald.outbox.settings import Settings

PATH = "/docs"
ASSETS = f"{PATH}/assets"
DAY = 86_400  # seconds
DESCRIPTION = """
Herald accepts notifications and delivers them, whatever is killed in between.

A `202` comes only after the commit. Follow a notification by its `id`; its history is its `events`.
Errors are RFC 9457 problems that name the field and the limit.
""".strip()
TAGS = {
    "notifications": "To people: accepted, followed, cancelled, sent again",
    "messages": "The same for any registered topic",
    "groups": "One notification for several users",
    "dead letters": "What is not tried again until a person says so",
    "pauses": "What is held back until a person says so",
}
_SCRIPT = f"""
SwaggerUIBundle({{
  url: "{PATH}/openapi.json",
  dom_id: "#swagger",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset]
}})
"""
_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<title>Herald</title>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{ASSETS}/swagger_style.css">
<script src="{ASSETS}/swagger_bundle.js"></script>
<script src="{ASSETS}/swagger_preset.js"></script>
</head>
<body>
<div id="swagger"></div>
<script>{_SCRIPT}</script>
</body>
</html>
"""
_OWN_SCRIPT = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
# Nothing that is not Herald's runs in the page, whatever a description or an answer shown in it says
SECURITY = {
    "content-security-policy": "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' 'sha256-{_OWN_SCRIPT}'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


class _Page(OpenAPIRenderPlugin):
    """Swagger UI, which reads the document itself: Litestar's own page is one script that holds it."""

    def render(self, _request: Request[Any, Any, Any], _openapi_schema: dict[str, Any]) -> bytes:
        return _PAGE.encode()


def make_openapi_config(settings: Settings) -> OpenAPIConfig:
    """The document, its page and its files."""
    # found without importing it: the package expands three user interfaces when it is imported
    package = find_spec("offapi")
    folders = list(package.submodule_search_locations or ()) if package else []
    cache_control = CacheControlHeader(max_age=DAY, public=True)
    assets = create_static_files_router("/assets", [*folders], cache_control=cache_control)
    return OpenAPIConfig(
        components=BodySchemas(settings),
        title="Herald",
        version=version("herald"),
        description=DESCRIPTION,
        use_handler_docstrings=True,
        operation_id_creator=_operation_id,
        tags=[Tag(name, description) for name, description in TAGS.items()],
        openapi_router=Router(PATH, route_handlers=[assets], after_request=_guarded, include_in_schema=False),
        render_plugins=[_Page(path="/"), JsonRenderPlugin()],
    )


def _operation_id(handler: HTTPRouteHandler, *_: object) -> str:
    """As generated clients call it: `acceptNotification`."""
    first, *rest = handler.handler_name.rpartition(".")[-1].split("_")
    return first + "".join(map(str.capitalize, rest))


async def _guarded(response: Response[Any]) -> Response[Any]:
    """Litestar answers unknown paths below the documentation with a page of HTML."""
    if isinstance(response, Response) and response.status_code == HTTPStatus.NOT_FOUND:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"nothing is there; {PATH} is the documentation")
    response.headers.update(SECURITY)
    return response
