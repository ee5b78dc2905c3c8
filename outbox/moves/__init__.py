"""Every move of a message, one file each: a statement that changes the projection and appends the event.

A message's way: accept or adopt, claim, record; else settle, expire, request_again, reject, cancel, decide.
`breakers` and `pauses` are what a claim looks at besides; `around` may wait.
"""
