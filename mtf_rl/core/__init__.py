"""The vocabulary that every layer shares: tasks, arrays, protocols, errors, randomness."""
