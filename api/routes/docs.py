"""`/docs`: Swagger UI from an installed package, so that it works without the internet."""

from http import HTTPStatus
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from litestar import Response, Router
from litestar.datastructures import CacheControlHeader
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
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
        openapi_router=Router(PATH, route_handlers=[assets], after_request=_as_problem, include_in_schema=False),
        render_plugins=[
            SwaggerRenderPlugin(
                js_url=f"{ASSETS}/swagger_bundle.js",
                css_url=f"{ASSETS}/swagger_style.css",
                standalone_preset_js_url=f"{ASSETS}/swagger_preset.js",
                favicon="<link rel='icon' href='data:,'>",
            ),
            JsonRenderPlugin(),
        ],
    )


async def _as_problem(response: Response[Any]) -> Response[Any]:
    """Litestar answers unknown paths below the documentation with a page of HTML."""
    if isinstance(response, Response) and response.status_code == HTTPStatus.NOT_FOUND:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"nothing is there; {PATH} is the documentation")
    return response
