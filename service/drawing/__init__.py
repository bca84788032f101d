"""Figures of a sweep's results: for paper (matplotlib) and for the page (Plotly), from one layout.

`named.py` draws a figure by its name; `figures.py` and `plots.py` have the same functions, one for
each medium.
"""
