"""The leaderboard: contestants, seeds, one budget, both judges."""
