"""The schema's history leads to the models, up and down."""

from pathlib import Path

from sqlalchemy import inspect

import migrations
from service.store.session import Database


def test_the_newest_revision_is_what_the_models_say(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'lrd.db'}")
    migrations.upgrade(database.engine)
    migrations.upgrade(database.engine)  # a second start changes nothing
    migrations.check(database.engine)
    assert "trials" in inspect(database.engine).get_table_names()
    migrations.downgrade(database.engine, "base")
    assert inspect(database.engine).get_table_names() == ["lrd_alembic_version"]
    database.close()
