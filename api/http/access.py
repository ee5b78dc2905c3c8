"""Who may what: by route the scopes of which a key needs one, or EVERYBODY. Nobody may use what does not stand here.

The guard, the security in the OpenAPI document, the table in docs/api.md and a test of each route are made of it.
"""

EVERYBODY = None
NOBODY: frozenset[str] = frozenset()
_SEND = frozenset({"send"})
_TAKE_BACK = frozenset({"send", "decide"})  # of its own owner, or whatever others sent
_SEE = frozenset({"read", "read:content"})
_DECIDE = frozenset({"decide"})
_OPERATE = frozenset({"operate"})

CONTENT = "read:content"
ACCESS: dict[tuple[str, str], frozenset[str] | None] = {
    ("POST", "/notifications"): _SEND,
    ("POST", "/notifications/bulk"): _SEND,
    ("GET", "/notifications"): _SEE,
    ("GET", "/notifications/{id}"): _SEE,
    ("GET", "/notifications/{id}/events"): _SEE,
    ("POST", "/notifications/{id}/cancel"): _TAKE_BACK,
    ("POST", "/notifications/{id}/again"): _TAKE_BACK,
    ("POST", "/messages"): _SEND,
    ("GET", "/messages/{id}"): _SEE,
    ("POST", "/messages/{id}/cancel"): _TAKE_BACK,
    ("POST", "/messages/{id}/again"): _TAKE_BACK,
    ("GET", "/groups/{id}"): _SEE,
    ("POST", "/groups/{id}/cancel"): _TAKE_BACK,
    ("GET", "/dead-letters/groups"): _SEE,
    ("GET", "/dead-letters"): _SEE,
    ("GET", "/dead-letters/{id}"): _SEE,
    ("POST", "/dead-letters/{id}/requeue"): _DECIDE,
    ("POST", "/dead-letters/{id}/discard"): _DECIDE,
    ("POST", "/dead-letters/requeues"): _DECIDE,
    ("GET", "/dead-letters/requeues"): _SEE,
    ("GET", "/dead-letters/requeues/{id}"): _SEE,
    ("POST", "/dead-letters/requeues/{id}/stop"): _DECIDE,
    ("POST", "/dead-letters/discards"): _DECIDE,
    ("GET", "/pauses"): _SEE,
    ("PUT", "/pauses/{what}"): _OPERATE,
    ("DELETE", "/pauses/{what}"): _OPERATE,
    ("GET", "/health/live"): EVERYBODY,
    ("GET", "/health/ready"): EVERYBODY,
    ("GET", "/"): EVERYBODY,
    ("GET", "/docs"): EVERYBODY,
    ("GET", "/docs/openapi.json"): EVERYBODY,
    ("GET", "/docs/{path}"): EVERYBODY,  # nothing
    ("GET", "/docs/assets/{file_path}"): EVERYBODY,
}
