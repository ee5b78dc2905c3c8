"""What an operator runs, one command each, beside the processes: no process imports any of it.

All of it may wait.
"""
