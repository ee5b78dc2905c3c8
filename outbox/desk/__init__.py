"""The dead-letter desk: what was given up, or whose outcome nobody knows, and what a person decides about it.

On the desk is what is `dead` or `unknown`. A person looks at it by error, requeues it as it is or edited,
one or many, or discards it with a reason. Every decision is an event in the log.
"""
