"""What others would use instead, each run by a Python of its own environment (`environments`), and what calls it."""
