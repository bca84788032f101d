"""The analysis of results: arms, comparisons, effects, plans, curves, tables and their notes.

Pure functions over plain data (`data.py`), independent of SQL, HTTP, torch and Ray.
docs/statistics.md explains each number; `service.drawing` makes figures of them.
"""
