"""epochs that an attempt recomputed; an index over reused trials"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

EPOCHS = ("recomputed_from", "recomputed_to", "different_epoch")


def upgrade() -> None:
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
