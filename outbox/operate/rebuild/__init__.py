"""`herald rebuild`: makes `messages` again from the log while everybody goes on working.

Partition by partition: fold the log in one snapshot into a table beside the live one; then, by the difference of
two snapshots, fold again what has changed since, until little is left; compare the two tables in one snapshot,
which tells what was wrong; and swap them under a short lock, after a last look at what changed.

Until that swap commits nothing is changed. What an interrupted rebuild leaves behind, the next one removes.
"""
