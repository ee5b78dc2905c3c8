"""The routes: one module for each thing that has an address; begin with `notifications`.

`health`, `docs` and `pauses` may wait.
"""
