"""What HTTP asks for, whatever the route: bodies, headers, queries, problems, and what handlers use.

Then the server itself, from its `door` inwards: connections, bytes and seconds have limits. `operations` may wait.
"""
