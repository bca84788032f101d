"""What the numbers say: arms, comparisons, plans, tables, curves and figures.

Pure functions over plain data (`data.py`); none of them knows SQL, HTTP, torch or Ray. How to read
each number: docs/statistics.md.
"""
