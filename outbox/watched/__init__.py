"""How a process is seen from outside: its metrics, whether it lives, whether it is ready.

`api`, `relay` and `pipeline` list the metrics of each; `life` knows whose thread is stuck; `port` answers for both.
"""
