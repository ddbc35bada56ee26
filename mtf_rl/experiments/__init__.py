"""The only assembler: settings to data, scores, environments, agents and a run folder."""
