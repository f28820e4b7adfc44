"""Observe a device and its network: time and memory of real blocks, round trips (docs/model.md).

Only `blocks`, `hardware`, `quantise`, `memory` and `session` need torch; reading and checking a
trace does not.
"""
