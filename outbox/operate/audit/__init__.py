"""`herald audit`: does what is stored, what is on Kafka and what was handled agree, while everything runs.

A live system changes between two questions, so each check is thought through as a race: its docstring says
in which order it reads, and why what it finds then cannot be work under way. The order of all of them is in
`order.py`. Nothing is changed here except by `repair.py`.
"""
