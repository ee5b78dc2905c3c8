"""The arithmetic of the benchmarks, and that the table of costs can be made."""
