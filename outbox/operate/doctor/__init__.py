"""`herald doctor`: looks for what is wrong, or soon will be, and says what to do.

A check is a function that looks at one subject (the settings, the database, Kafka) and yields findings.
They only read, but for one NOTIFY on a channel of their own.
"""
