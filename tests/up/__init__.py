"""Tests of `herald up`."""
