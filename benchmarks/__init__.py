"""What Herald costs, measured against the least that could do the same, in the same run and in turns.

`python -m benchmarks [relay|api|pipeline|latency] [--quick]`. Absolute figures belong to the machine
and the hour; the ratios are what is promised. `python -m benchmarks costs` measures it beside other commits of itself.
"""
