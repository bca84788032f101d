"""Make, find, list and revoke tokens. Only a hash is kept; a token is shown once."""

import hashlib
import hmac
import secrets
from collections.abc import Collection

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from lrd_core.errors import LRDError
from lrd_core.faults import sentence_of
from lrd_core.texts import TokenName
from service.choices import Role
from service.errors import NotFound
from service.store.models import Token
from service.store.session import clock, db_now

DAY = 86_400
_NAME: TypeAdapter[str] = TypeAdapter(TokenName)


def create(
    session: Session,
    name: str,
    role: Role,
    expires_days: float | None = None,
    **limits: int | None,
) -> tuple[Token, str]:
    """Make a token of 256 random bits; its row, and the secret, which cannot be shown again.

    Args:
        session: a transaction.
        name: whose token it is: 1 to 100 characters on one line, none of them invisible.
        role: what it may do.
        expires_days: days until it expires; None for never.
        limits: `requests_per_minute`, `max_queued_trials` and `max_sweep_trials`, if they differ
            from the settings.

    Raises:
        LRDError: the name is not like that.
    """
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise LRDError(f"the token's name {sentence_of(error.errors()[0])}") from None
    secret = f"lrd_{secrets.token_urlsafe(32)}"
    now = clock(session)
    expires_at = None if expires_days is None else now + expires_days * DAY
    token = Token(
        name=name,
        role=role,
        sha256=_hash(secret),
        created_at=now,
        expires_at=expires_at,
        **limits,
    )
    session.add(token)
    session.flush()
    return token, secret


def find(session: Session, secret: str) -> Token | None:
    """The token with this `secret`, unless it has expired or was revoked."""
    sha256 = _hash(secret)
    live = or_(Token.expires_at.is_(None), Token.expires_at > db_now())
    query = select(Token).where(Token.sha256 == sha256, Token.revoked_at.is_(None), live)
    token = session.scalar(query)
    if token is None or not hmac.compare_digest(token.sha256, sha256):
        return None
    return token


def used(session: Session, token_ids: Collection[int]) -> None:
    """Note that these tokens were used just now."""
    session.execute(update(Token).where(Token.id.in_(token_ids)).values(last_used_at=db_now()))


def any_made(session: Session) -> bool:
    """Whether any token was not revoked. An expired one counts, so that a closed service does not
    open by itself."""
    return session.scalar(select(Token.id).where(Token.revoked_at.is_(None)).limit(1)) is not None


def keeps_closed(session: Session, token_id: int) -> bool:
    """Whether it is the only token that was not revoked; without it the service is open to its own
    machine."""
    return list(session.scalars(select(Token.id).where(Token.revoked_at.is_(None)))) == [token_id]


def listing(session: Session) -> list[Token]:
    """Every token, revoked ones included, the oldest first."""
    return list(session.scalars(select(Token).order_by(Token.id)))


def revoke(session: Session, token_id: int) -> Token:
    """End a token, at once and for ever.

    Raises:
        NotFound: there is none with this id.
    """
    token = session.get(Token, token_id)
    if token is None:
        raise NotFound(f"there is no token {token_id}; `lrd token ls` lists them")
    if token.revoked_at is None:
        token.revoked_at = clock(session)
    return token


def _hash(secret: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()
