"""Timings of the hot parts: `python -m benchmarks [part …]`.

A part is a module here with a number ``BUDGET_S`` and a function ``run(tiny) -> Iterator[Row]``.
Each runs in a process of its own, which is ended when its budget is used up; the rows it has
yielded by then stay. A tiny run tries the lines of every part in seconds; its figures mean nothing.
"""
