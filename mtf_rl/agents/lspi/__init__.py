"""Least-squares policy iteration: a quadratic critic, and a policy of a few features."""
