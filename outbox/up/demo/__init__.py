"""`--demo N`: what a person would try after the start, and how long it took."""
