"""`send`, `notify`, `send_many` and `cancel`: SQL in the caller's own transaction."""
