"""What is true: what can happen to a message, and how each event changes its state. Imports nothing of Herald.

Begin with `events` and `state`; `numbers` and `upcasting` may wait.
"""
