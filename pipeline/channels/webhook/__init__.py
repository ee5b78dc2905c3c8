"""The channel `webhook`: signatures, answers, and connections that lead only to public addresses."""
