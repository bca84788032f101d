"""The analysis of results: arms, comparisons, plans, tables, curves and figures.

Pure functions over plain data (`data.py`), independent of SQL, HTTP, torch and Ray.
docs/statistics.md explains each number.
"""
