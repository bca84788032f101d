"""tags of a sweep, how many trials may fail, why it is paused, and primary comparisons"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sweeps", sa.Column("max_failures", sa.Integer(), nullable=True))
    # The default fills the rows that are there, and stays: SQLite cannot drop it without a copy.
    op.add_column(
        "sweeps", sa.Column("tags", sa.JSON(), nullable=False, server_default=sa.text("'[]'"))
    )
    op.add_column("sweeps", sa.Column("paused_because", sa.Text(), nullable=True))
    op.add_column(
        "arms", sa.Column("is_primary", sa.Boolean(), nullable=False, server_default=sa.true())
    )


def downgrade() -> None:
    op.drop_column("arms", "is_primary")
    op.drop_column("sweeps", "paused_because")
    op.drop_column("sweeps", "tags")
    op.drop_column("sweeps", "max_failures")
