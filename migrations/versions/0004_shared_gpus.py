"""the part of a GPU that a sweep's trials need, and trials that run alone"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

QUEUED = sa.text("state = 'queued'")


def upgrade() -> None:
    op.add_column("sweeps", sa.Column("gpu_share", sa.Double(), nullable=True))
    # The default fills the rows that are there, and stays: SQLite cannot drop it without a copy.
    op.add_column(
        "trials", sa.Column("alone", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_index(
        "ix_trials_ready",
        "trials",
        ["sweep_id", "alone", "id"],
        postgresql_where=QUEUED,
        sqlite_where=QUEUED,
    )


def downgrade() -> None:
    op.drop_index("ix_trials_ready", "trials")
    op.drop_column("trials", "alone")
    op.drop_column("sweeps", "gpu_share")
