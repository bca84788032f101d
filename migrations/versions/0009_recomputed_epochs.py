"""epochs that an attempt recomputed with other numbers; an index over reused trials"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("different_epoch", sa.Integer(), nullable=True))
    different, reused = sa.text("different_epoch is not null"), sa.text("reused_from is not null")
    op.create_index(
        "ix_attempts_different",
        "attempts",
        ["trial_id"],
        postgresql_where=different,
        sqlite_where=different,
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
    op.drop_index("ix_attempts_different", "attempts")
    op.drop_column("attempts", "different_epoch")
