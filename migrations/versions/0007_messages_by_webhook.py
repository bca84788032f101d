"""an index of each webhook's messages, which are looked for where it is listed or removed"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_deliveries_webhook", "deliveries", ["webhook_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_deliveries_webhook", "deliveries")
