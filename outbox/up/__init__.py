"""`herald up`: every process of Herald on one machine, on embedded servers where none are named."""
