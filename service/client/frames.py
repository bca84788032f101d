"""The service's CSV as data frames: labels as given, numbers as reported."""

import io
from typing import TYPE_CHECKING, Any

from service.analysis.escaping import unescape_csv

if TYPE_CHECKING:
    from pandas import DataFrame

_TEXTS = {"arm", "baseline", "name", "label", "factors", "levels", "references"}
"""Columns of names that users chose: an arm may be called `None`, `NA` or `1`."""


def frame(csv: bytes) -> "DataFrame":
    """The data frame of a table, a listing or an export."""
    from pandas import read_csv  # takes a second, which the command line can do without

    columns = read_csv(io.BytesIO(csv), nrows=0).columns
    # Only empty means missing, and NaN is a number; pandas would take two dozen words for missing.
    absent = {name: [""] if name in _TEXTS else ["", "nan"] for name in columns}
    types = {name: str for name in columns if name in _TEXTS}
    found = read_csv(io.BytesIO(csv), keep_default_na=False, na_values=absent, dtype=types)
    for name in found.select_dtypes(exclude=["number", "bool"]):
        found[name] = found[name].map(_given)
    return found.rename(columns=unescape_csv)


# --- inside ---------------------------------------------------------------------------------------


def _given(value: Any) -> Any:
    return unescape_csv(value) if isinstance(value, str) else value
