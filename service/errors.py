"""What the service refuses, as one tree; each error knows its HTTP status.

ServiceError
├── Unauthorized        401   no token, or one that does not count
├── Forbidden           403   the token's role, or where the request comes from, does not allow it
├── NotFound            404
├── Conflict            409   the state forbids it
├── TooSlow             408   the body did not arrive in time
├── TooLarge            413
├── UnsupportedMedia    415
├── Unprocessable       422   the body is well-formed and wrong; carries the faults
├── TooMany             429   more than the token's limit
└── Unavailable         503   the database cannot be reached
"""

from typing import ClassVar

from lrd_core.errors import Fault


class ServiceError(Exception):
    """Base: `title` is the kind, the message says what was wrong, where, and what to do."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    type: ClassVar[str] = "internal-error"
    faults: tuple[Fault, ...] = ()


class Unauthorized(ServiceError):
    """The request carries no token that counts."""

    status = 401
    title = "A token is needed"
    type = "unauthorized"


class Forbidden(ServiceError):
    """Who asks may not."""

    status = 403
    title = "Not allowed"
    type = "forbidden"


class NotFound(ServiceError):
    """There is nothing at this address."""

    status = 404
    title = "Not found"
    type = "not-found"


class Conflict(ServiceError):
    """The present state does not allow it."""

    status = 409
    title = "Conflict with the present state"
    type = "conflict"


class TooSlow(ServiceError):
    """The body did not arrive in time."""

    status = 408
    title = "Request too slow"
    type = "too-slow"


class TooLarge(ServiceError):
    """The body is larger than the limit."""

    status = 413
    title = "Body too large"
    type = "too-large"


class UnsupportedMedia(ServiceError):
    """The body is neither JSON nor YAML."""

    status = 415
    title = "Unsupported media type"
    type = "unsupported-media-type"


class Unprocessable(ServiceError):
    """The body cannot be accepted as it is."""

    status = 422
    title = "The request is not valid"
    type = "invalid-request"

    def __init__(self, message: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class TooMany(ServiceError):
    """More than the token's limit of requests a minute, or of queued trials."""

    status = 429
    title = "Limit reached"
    type = "limit-reached"

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds; None where waiting alone does not help."""


class Unavailable(ServiceError):
    """A part that the answer needs is not there at the moment."""

    status = 503
    title = "Unavailable"
    type = "unavailable"
