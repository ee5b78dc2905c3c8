"""`herald up`: every process of Herald on one machine, on embedded servers where none are named.

All of it may wait; begin with `start`, then `supervisor`, `postgres`, `demo`. Its servers need the extra `embedded`.
"""
