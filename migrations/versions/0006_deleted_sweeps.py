"""sweeps that are deleted, ids that SQLite does not give again, and which database it is"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

DELETED = sa.text("deleted_at is not null")
OF_SWEEPS = "sweep_id in (select id from sweeps where deleted_at is not null)"
OF_TRIALS = (
    "trial_id in (select trials.id from trials join sweeps on sweeps.id = trials.sweep_id "
    "where sweeps.deleted_at is not null)"
)
LEFT = (
    ("epoch_reports", OF_TRIALS),
    ("attempts", OF_TRIALS),
    ("trials", OF_SWEEPS),
    ("arms", OF_SWEEPS),
    ("events", OF_SWEEPS),
    ("deliveries", OF_SWEEPS),
    ("sweeps", "deleted_at is not null"),
)
"""What deleted sweeps still have, bottom up: SQLite's foreign keys are off in a migration."""


def upgrade() -> None:
    op.add_column("sweeps", sa.Column("deleted_at", sa.Double(), nullable=True))
    op.create_index(
        "ix_sweeps_deleted",
        "sweeps",
        ["deleted_at"],
        postgresql_where=DELETED,
        sqlite_where=DELETED,
    )
    op.create_table(
        "purged",
        sa.Column("sweep_id", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sweep_id", name=op.f("pk_purged")),
    )
    op.create_table(
        "identity",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
    )
    if op.get_bind().dialect.name == "sqlite":
        for table in ("trials", "deliveries"):
            with op.batch_alter_table(
                table, recreate="always", table_kwargs={"sqlite_autoincrement": True}
            ):
                pass  # as it was, but for its ids
    op.create_index(op.f("ix_trials_arm_id"), "trials", ["arm_id"])
    op.create_index(op.f("ix_deliveries_sweep_id"), "deliveries", ["sweep_id"])


def downgrade() -> None:
    # An older version would show what is deleted and not purged yet. SQLite's ids stay as they are:
    # to that version it makes no difference.
    for table, rows in LEFT:
        op.execute(f"delete from {table} where {rows}")  # noqa: S608
    op.drop_index(op.f("ix_deliveries_sweep_id"), "deliveries")
    op.drop_index(op.f("ix_trials_arm_id"), "trials")
    op.drop_table("identity")
    op.drop_table("purged")
    op.drop_index("ix_sweeps_deleted", "sweeps")
    op.drop_column("sweeps", "deleted_at")
