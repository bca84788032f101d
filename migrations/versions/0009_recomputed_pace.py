"""epochs that an attempt recomputed, from when a sweep's pace counts, an index of reused trials"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

EPOCHS = ("recomputed_from", "recomputed_to", "different_epoch")


def upgrade() -> None:
    op.add_column("sweeps", sa.Column("paced_from", sa.Double(), nullable=True))
    op.add_column(
        "sweeps",
        sa.Column("finished_before", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )
    op.execute("update sweeps set paced_from = started_at")
    for name in EPOCHS:
        op.add_column("attempts", sa.Column(name, sa.Integer(), nullable=True))
    recomputed, reused = sa.text("recomputed_to is not null"), sa.text("reused_from is not null")
    op.create_index(
        "ix_attempts_recomputed",
        "attempts",
        ["trial_id"],
        postgresql_where=recomputed,
        sqlite_where=recomputed,
    )
    op.create_index(
        "ix_trials_reused_from",
        "trials",
        ["reused_from"],
        postgresql_where=reused,
        sqlite_where=reused,
    )


def downgrade() -> None:
    op.drop_index("ix_trials_reused_from", "trials")
    op.drop_index("ix_attempts_recomputed", "attempts")
    for name in EPOCHS:
        op.drop_column("attempts", name)
    op.drop_column("sweeps", "finished_before")
    op.drop_column("sweeps", "paced_from")
