"""What both the REST API and the command line let their users choose; free of SQL and HTTP."""

from enum import StrEnum
from typing import Literal

TableFormat = Literal["markdown", "csv", "latex", "json"]
"""Formats of tables, comparisons and effects."""
ProseFormat = Literal["markdown", "latex", "json"]
"""Formats of the methods section."""
Figure = Literal["learning-curves", "keep-prob", "forest", "effects", "descent"]
Axis = Literal["epoch", "seconds"]
"""Horizontal axes of learning curves."""
Rows = Literal["trials", "reports"]
"""What an export as CSV or Parquet has a row for."""


class Role(StrEnum):
    """What a token allows; each includes those before it."""

    viewer = "viewer"
    """Reads everything."""
    submitter = "submitter"
    """Submits sweeps, and changes its own."""
    admin = "admin"
    """Changes everybody's sweeps, and has what belongs to all: webhooks, the audit log."""

    def includes(self, other: "Role") -> bool:
        """Whether it allows what `other` allows."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(other)
