"""Methods on draws: design load, sweeps, summaries; what commands and figures stand on."""
