"""The channel `email`: mail over SMTP. Connections end in time, and each answer means something for one message."""
