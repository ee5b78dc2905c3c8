"""`herald set-aside`: rows of the log that could not be published."""
