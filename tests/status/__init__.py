"""Tests of `herald status`."""
