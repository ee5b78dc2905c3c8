"""What HTTP asks for, whatever the route: bodies, parameters, problems, keys, and what handlers use.

Then the server itself, from its `door` inwards: connections, bytes and seconds have limits. `openapi` may wait.
"""
