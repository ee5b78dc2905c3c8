"""Children of `herald up`: started on a leash, restarted, stopped in order, their output in one log."""
