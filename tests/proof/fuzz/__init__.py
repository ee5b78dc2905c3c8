"""Random and mutated input from everybody who may give any: records on the topics, rows in the log.

A seed makes the input again. What each of them comes to is accounted for, one by one.
"""
