"""What every table shares: the names of its constraints, its ids, and its partial indexes."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, Integer, MetaData, text
from sqlalchemy.orm import DeclarativeBase


def only(rows: str) -> dict[str, Any]:
    """Arguments for an index of those rows alone, for either database."""
    return {"postgresql_where": text(rows), "sqlite_where": text(rows)}


BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER key


class Base(DeclarativeBase):
    """Names its constraints, so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {float: Double, dict[str, Any]: JSON(none_as_null=True), list[str]: JSON}
