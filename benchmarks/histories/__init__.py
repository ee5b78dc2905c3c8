"""Logs of 10³ to 10⁷ messages with whole histories, loaded by COPY and kept between runs."""
