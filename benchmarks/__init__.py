"""What Herald costs, beside the least that could do the same, in the same run and in turns.

`python -m benchmarks [PART …] [--quick]`; docs/benchmarks.md names the parts. Absolute figures belong to the machine
and the hour; the ratios are what is promised. `python -m benchmarks costs` measures it beside other commits of itself.

A part is a module with `measure`; `run` says how much it does, `stage` has the servers, `histories` and `logs` the log
that all of them work on, `flow` the one load, `rivals` what others would use, `figures` the lines of the tables.
"""
