"""`herald dead-letters`: the desk on the command line."""
