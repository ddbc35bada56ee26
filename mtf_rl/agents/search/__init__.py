"""Black-box searches over policies: static weights, tables, linear policies, small networks."""
