"""All processes together, on real servers."""
