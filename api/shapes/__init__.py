"""What callers may send and what they get; the document's `schemas` may wait."""
