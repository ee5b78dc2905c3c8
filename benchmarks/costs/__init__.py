"""What a message costs here, beside other commits of the same repository, on the same servers and in turns.

`command` chooses and runs, `checkouts` installs another commit, `histories` fills logs that each of them can read,
`adapters` has what runs inside a side, `parts` is what is measured, `table` says what came out.
"""
