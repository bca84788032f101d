"""A test gets a database as migrated, though others had it before."""

import pytest
from sqlalchemy import NullPool, create_engine

from tests.postgres import Postgres


def changed(url: str, statement: str) -> str:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql(statement)
    return url


def test_what_has_other_rows_is_emptied_and_given_again(postgres: Postgres) -> None:
    was = changed(postgres(), "insert into identity values ('one')")
    postgres.release(was)
    assert postgres() == was
    with create_engine(was, poolclass=NullPool).connect() as connection:
        assert connection.exec_driver_sql("select count(*) from identity").scalar() == 0
    postgres.release(was)


@pytest.mark.parametrize(
    "statement",
    [
        "create table more (number int)",
        "drop table identity",
        "alter table sweeps add column more int",
        "alter table sweeps rename to trains",
        "alter table sweeps alter column name drop not null",
        "create index more on sweeps (name)",
        "revoke all on sweeps from current_user",
        "update lrd_alembic_version set version_num = '0001'",
        "do $$ begin execute 'alter database ' || current_database() || ' set work_mem = 64';"
        " end $$",
    ],
)
def test_what_has_another_schema_is_never_given_again(postgres: Postgres, statement: str) -> None:
    was = changed(postgres(), statement)
    postgres.release(was)
    others = [postgres(), postgres()]
    assert was not in others
    for other in others:
        postgres.release(other)
