"""Genuine PETALS on one machine, beside the simulator: measured against predicted.

Two Python environments meet here. The driver (settings, placements, chains, predictions, reports)
runs in the project's own; what starts with ``petals_`` runs in the testbed's, which has the old
packages that PETALS needs, and imports nothing of the driver. They talk in lines of JSON.
"""
