"""Herald: what it accepts is delivered, whatever is killed.

`api`, `outbox` and `pipeline` are folders at the top of the repository; here they are links, so that nothing of
Herald takes such a name for itself where it is installed.
"""
