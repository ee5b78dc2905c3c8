"""Kafka in, deliveries out: consume in windows, claim, deliver, record."""
