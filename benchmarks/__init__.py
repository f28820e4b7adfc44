"""Timings of the hot parts: `python -m benchmarks [part …]`; never part of the tests.

Every module here with a function ``run() -> list[dict]`` is a part; see `benchmarks.measure.row`
for what it returns.
"""
