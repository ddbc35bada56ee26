"""One script and one results table per claim; each says how to run it."""
