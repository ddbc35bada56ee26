"""Searches over static fusion weights."""
