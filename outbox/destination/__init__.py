"""Where a message goes: whether it can, over which channel, and what holds there.

Begin with `check`, `routes` and `policies`; how single texts are read may wait.
"""
