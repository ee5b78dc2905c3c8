"""What costs more the more messages there are.

`looks` calls what Herald asks and does again and again, `measuring` times it on logs of growing size, `plans` looks at
how PostgreSQL finds the rows on the largest one.
"""
