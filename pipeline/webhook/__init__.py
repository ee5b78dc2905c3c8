"""What the channel `webhook` is made of: signatures, answers, and connections that lead only to public addresses."""
