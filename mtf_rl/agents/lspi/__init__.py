"""Least-squares policy iteration with a quadratic critic and a policy of a few features."""
