"""What the active relay does by the clock: requests what is due or lost, keeps partitions and pages."""
