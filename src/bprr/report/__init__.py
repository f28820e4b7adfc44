"""The scorecard: every published claim beside our number, a verdict, and why not where it fails."""
