"""From a claimed attempt to its outcome: whose turn it is, the call, and what its failure means.

Begin with `threads` and `attempting`; `blame` and `lack` may wait.
"""
