"""The service's CSV as data frames: labels as they were given, numbers as they were reported."""

import io
from typing import TYPE_CHECKING, Any

from service.analysis.escaping import unescape_csv

if TYPE_CHECKING:
    from pandas import DataFrame

_TEXTS = {"arm", "baseline", "name", "label", "factors", "levels", "references"}
"""Columns of what users chose: an arm may be called `None`, `NA` or `1`."""


def frame(csv: bytes) -> "DataFrame":
    """Of a table, a listing or an export."""
    from pandas import read_csv  # a second that the command line does without

    columns = read_csv(io.BytesIO(csv), nrows=0).columns
    # Empty is what is not there, and NaN a number; pandas would take two dozen words for either.
    absent = {name: [""] if name in _TEXTS else ["", "nan"] for name in columns}
    types = {name: str for name in columns if name in _TEXTS}
    found = read_csv(io.BytesIO(csv), keep_default_na=False, na_values=absent, dtype=types)
    for name in found.select_dtypes(exclude=["number", "bool"]):
        found[name] = found[name].map(_given)
    return found.rename(columns=unescape_csv)


# --- inside ---------------------------------------------------------------------------------------


def _given(value: Any) -> Any:
    return unescape_csv(value) if isinstance(value, str) else value
