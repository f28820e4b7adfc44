"""Figures and tables: one module each, all in the style of `bprr.figures.style`."""
