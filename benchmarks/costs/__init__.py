"""What a message costs here, beside other commits of the same repository, on the same servers and in turns.

`command` chooses and runs, `checkouts` installs another commit, `logs` keeps databases that took long to fill,
`adapters` has what runs inside a side, `parts` is what is measured, `table` says what came out.
"""
