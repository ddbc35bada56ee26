"""Shared definitions of all layers: tasks, arrays, protocols, errors, randomness."""
