"""What the active relay does by the clock: requests what is due or lost, keeps partitions and pages.

Begin with `schedule` and `due`; what finds lost requests (`lost`, `behind`, `pages`) and `retention` may wait.
"""
