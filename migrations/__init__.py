"""The schema and its history: Alembic."""
