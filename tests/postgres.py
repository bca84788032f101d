"""Migrated PostgreSQL databases for tests: made from one template, emptied, and given again."""

import itertools
import os
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Connection, NullPool, create_engine, make_url

import migrations
from service.store.models import Base
from service.store.session import Database

TABLES = ", ".join(Base.metadata.tables)
CATALOGS = (
    "pg_attrdef", "pg_attribute", "pg_constraint", "pg_description", "pg_index", "pg_namespace",
    "pg_proc", "pg_rewrite", "pg_sequence", "pg_trigger", "pg_type",
)  # fmt: skip
"""What a schema is written in; emptying a table adds, changes and removes no row of them."""
SHAPE = f"""
select (select string_agg(concat(oid, relname, relkind, relowner, relacl, reloptions,
                                 relrowsecurity, relreplident), ' ' order by oid)
        from pg_class where relnamespace = 'public'::regnamespace),
       (select string_agg(concat(setrole, setconfig), ' ')
        from pg_db_role_setting join pg_database on pg_database.oid = setdatabase
        where datname = current_database()),
       {
    ", ".join(
        f"(select concat(count(*), ' ', max(xmin::text::bigint)) from {each})" for each in CATALOGS
    )
}
"""


class Postgres:
    """Makes migrated PostgreSQL databases and gives their URLs."""

    def __init__(self, server: URL, settings: Mapping[str, str]) -> None:
        """Of the server at an address, which gets these settings first."""
        self._server = server
        self._admin = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self._names = (f"lrd_test_{os.getpid()}_{number}" for number in itertools.count())
        self._made: list[str] = []
        self._released: set[str] = set()
        self._empty: list[str] = []
        self._set(settings)
        template = Database(self._url(self._create("template0")))
        migrations.upgrade(template.engine)
        template.close()
        with self._connect(self._made[0]) as connection:
            self._shape = _shape(connection)
            for table in Base.metadata.tables:
                rows = f"select count(*) from {table}"
                assert connection.exec_driver_sql(rows).scalar() == 0, "empty is not as migrated"

    def __call__(self) -> str:
        self._take_back()
        return self._url(self._empty.pop() if self._empty else self._create(self._made[0]))

    def release(self, url: str) -> None:
        """It is wanted no more: once nobody holds on to it, it is emptied and given again.

        To make one and drop it costs the server 0.1 s, to empty one a tenth of that.
        """
        self._released.add(str(make_url(url).database))

    def drop_all(self) -> None:
        """All that are left."""
        with self._admin.connect() as connection:
            for name in self._made:
                connection.exec_driver_sql(f"drop database if exists {name} with (force)")

    def _take_back(self) -> None:
        with self._admin.connect() as admin:
            asked = "select datname from pg_stat_activity where datname is not null"
            free = self._released - set(admin.exec_driver_sql(asked).scalars())
            for name in free:
                with self._connect(name) as connection:
                    as_migrated = _shape(connection) == self._shape
                    if as_migrated:
                        connection.exec_driver_sql(f"truncate {TABLES} restart identity")
                if as_migrated:
                    self._empty.append(name)
                else:  # a test of migrations, say
                    admin.exec_driver_sql(f"drop database {name} with (force)")
        self._released -= free

    def _set(self, settings: Mapping[str, str]) -> None:
        with self._admin.connect() as connection:
            for name, value in settings.items():
                connection.exec_driver_sql(f"alter system set {name} = {value}")
            if settings:
                connection.exec_driver_sql("select pg_reload_conf()")

    def _create(self, template: str) -> str:
        name = next(self._names)
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"create database {name} template {template}")
        self._made.append(name)
        return name

    def _url(self, name: str) -> str:
        return self._server.set(database=name).render_as_string(hide_password=False)

    def _connect(self, name: str) -> Any:
        return create_engine(self._server.set(database=name), poolclass=NullPool).begin()


def _shape(connection: Connection) -> list[object]:
    """The schema and its version: whatever a test may have left but rows."""
    shape: list[object] = list(connection.exec_driver_sql(SHAPE).one())
    exists = f"select to_regclass('{migrations.VERSION_TABLE}')"
    if connection.exec_driver_sql(exists).scalar() is not None:
        rows = connection.exec_driver_sql(f"select * from {migrations.VERSION_TABLE}")
        shape += [tuple(row) for row in rows]
    return shape
