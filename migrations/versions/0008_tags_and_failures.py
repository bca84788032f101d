"""tags of a sweep, how many of its trials may fail, and why it is paused"""

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


def downgrade() -> None:
    op.drop_column("sweeps", "paused_because")
    op.drop_column("sweeps", "tags")
    op.drop_column("sweeps", "max_failures")
