"""The dead-letter desk: what was given up, or whose outcome nobody knows, and what a person decides about it.

On the desk is what is `dead` or `unknown`: looked at by error, requeued as it is or edited, one or many, or discarded
with a reason. Begin with `looking` and `jobs`; `aside`, the rows of the log that were set aside, may wait.
"""
