"""`/docs`: Swagger UI from an installed package, so that it works without the internet."""

import importlib.util
from dataclasses import dataclass, field, fields
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

from litestar import Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.params import FromPath

from herald.api.http.problems import ProblemError, respond
from herald.api.shapes.schemas import Document, body_schemas
from herald.outbox.settings import Settings

PATH = "/docs"
ASSETS = {
    "swagger_bundle.js": "text/javascript",
    "swagger_preset.js": "text/javascript",
    "swagger_style.css": "text/css",
}
_ICON = "<link rel='icon' href='data:,'>"
DESCRIPTION = """
Herald accepts notifications and delivers them, whatever is killed in between.

A `202` comes only after the commit. Follow a notification by its `id`; its history is its `events`.
Errors are RFC 9457 problems that name the field and the limit.
""".strip()


@dataclass
class _Config(OpenAPIConfig):
    bodies: dict[str, Any] = field(default_factory=dict)

    def to_openapi_schema(self) -> Document:
        """Without paths: Litestar adds them."""
        made = super().to_openapi_schema()
        document = Document(**{one.name: getattr(made, one.name) for one in fields(made)})
        document.bodies = self.bodies
        return document


@get("/assets/{name:str}", sync_to_thread=False)
def asset(name: FromPath[str]) -> Response[bytes]:
    """A file of Swagger UI."""
    if name not in ASSETS:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"nothing is at {PATH}/assets/{name}")
    return Response(_read(name), media_type=ASSETS[name], headers={"cache-control": "public, max-age=86400"})


@cache
def _read(name: str) -> bytes:
    # found without importing it: the package expands three user interfaces when it is imported
    package = importlib.util.find_spec("offapi")
    if package is None or not package.submodule_search_locations:
        raise ProblemError(HTTPStatus.NOT_FOUND, "the package offapi, which brings Swagger UI, is not installed")
    return (Path(package.submodule_search_locations[0]) / name).read_bytes()


async def _as_problem(response: Response[Any]) -> Response[Any]:
    """Litestar answers unknown paths below the documentation with a page of HTML."""
    if response.status_code != HTTPStatus.NOT_FOUND:
        return response
    return respond(ProblemError(HTTPStatus.NOT_FOUND, f"nothing is there; {PATH} is the documentation"))


def make_openapi_config(settings: Settings) -> OpenAPIConfig:
    """The document, its page and its files."""
    return _Config(
        bodies=body_schemas(settings),
        title="Herald",
        version=version("herald"),
        description=DESCRIPTION,
        use_handler_docstrings=True,
        openapi_router=Router(PATH, route_handlers=[asset], after_request=_as_problem, include_in_schema=False),
        render_plugins=[
            SwaggerRenderPlugin(
                js_url=f"{PATH}/assets/swagger_bundle.js",
                css_url=f"{PATH}/assets/swagger_style.css",
                standalone_preset_js_url=f"{PATH}/assets/swagger_preset.js",
                favicon=_ICON,
            ),
            JsonRenderPlugin(),
        ],
    )
