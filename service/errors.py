"""The errors of the service, as one tree; each knows its HTTP status.

ServiceError
├── WrongVersion        400   the client is too old or too new
├── Unauthorized        401   no token, or one that does not count
├── Forbidden           403   the token's role, or where the request comes from, does not allow it
├── NotFound            404
├── WrongMethod         405
├── TooSlow             408   the body did not arrive in time
├── Conflict            409   the state forbids it
├── HasChanged          412   it is not as the `If-Match` says
├── TooLarge            413
├── UnsupportedMedia    415
├── Unprocessable       422   the request is well-formed and wrong
├── WrongSpec           422   the sweep in it is; carries the faults
├── TooMany             429   more than the token's limit
└── Unavailable         503   a part that the answer needs is away

The docstrings are the documentation that `/errors` and docs/errors.md show.
"""

from typing import ClassVar

from lrd_core.errors import Fault


class ServiceError(Exception):
    """Something failed in the service itself. Nothing that was requested has happened. The log has
    the details under the request's id, which is in `detail` and in the header `X-Request-ID`:
    report it to whoever runs the service."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    type: ClassVar[str] = "internal-error"
    faults: tuple[Fault, ...] = ()
    retry_after: int | None = None
    """Seconds; None if waiting alone does not help."""

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WrongVersion(ServiceError):
    """The header `LRD-Version` says that the client is too old for this service, or newer than it.
    `detail` says which version to install."""

    status = 400
    title = "Client and service do not fit"
    type = "client-version"


class Unauthorized(ServiceError):
    """The request carries no token, or one that is unknown, has expired or was revoked. Send
    `Authorization: Bearer TOKEN`; whoever runs the service makes one with `lrd token create`."""

    status = 401
    title = "A token is needed"
    type = "unauthorized"


class Forbidden(ServiceError):
    """The token's role does not allow it (reading needs viewer, changes and plans need submitter,
    webhooks and the audit log need admin, and so does changing another's sweep); or there are no
    tokens, and the request comes from another page or under a name that is not this machine's."""

    status = 403
    title = "Not allowed"
    type = "forbidden"


class NotFound(ServiceError):
    """There is nothing at this address."""

    status = 404
    title = "Not found"
    type = "not-found"


class WrongMethod(ServiceError):
    """The address takes other methods; the header `Allow` names them."""

    status = 405
    title = "Method not allowed"
    type = "method-not-allowed"


class TooSlow(ServiceError):
    """The body did not arrive within `LRD_BODY_SECONDS`. Send it again."""

    status = 408
    title = "Request too slow"
    type = "too-slow"


class Conflict(ServiceError):
    """The present state of the sweep or trial forbids it, as `detail` says; or a request with the
    same `Idempotency-Key` is being answered at this moment: send it again after the seconds of
    `Retry-After`."""

    status = 409
    title = "Conflict with the present state"
    type = "conflict"


class HasChanged(ServiceError):
    """The sweep is not as the request's `If-Match` says: it has changed since its `ETag` was read.
    Nothing that was requested has happened. Read it again, and repeat the request if it still
    applies."""

    status = 412
    title = "It has changed meanwhile"
    type = "precondition-failed"


class TooLarge(ServiceError):
    """The body is larger than `LRD_MAX_BODY_BYTES`, or a bundle than `LRD_MAX_BUNDLE_BYTES`."""

    status = 413
    title = "Body too large"
    type = "too-large"


class UnsupportedMedia(ServiceError):
    """The `Content-Type` of the body is neither JSON nor YAML, or that of a bundle is not zip. Set
    `Content-Type`."""

    status = 415
    title = "Unsupported media type"
    type = "unsupported-media-type"


class Unprocessable(ServiceError):
    """A parameter or the body cannot be accepted as it is; each of `errors` names a place. Or an
    `Idempotency-Key` was used before, for another request."""

    status = 422
    title = "The request is not valid"
    type = "invalid-request"

    def __init__(self, message: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class WrongSpec(ServiceError):
    """The sweep cannot be run as written, and nothing of it was stored. `errors` names each
    fault: its place in the body as a JSON pointer (RFC 6901), and what to write there. What refers
    to arms is checked once the arms are valid, and these once the fields are."""

    status = 422
    title = "The sweep is not valid"
    type = "invalid-spec"


class TooMany(ServiceError):
    """The token has used up its requests of this minute: wait for the seconds of `Retry-After`. Or
    more trials would be queued than it may have waiting; then wait until some have run."""

    status = 429
    title = "Limit reached"
    type = "limit-reached"


class Unavailable(ServiceError):
    """A part that the answer needs (the database, or the storage of the trials' folders) is away at
    the moment. Nothing that was requested has happened. Try again after the seconds of
    `Retry-After`."""

    status = 503
    title = "Unavailable"
    type = "unavailable"


def refuse_large_sweep(trials: int, limit: int) -> None:
    """Refuse a sweep with more trials than `limit`.

    Raises:
        Unprocessable: it has more.
    """
    if trials > limit:
        raise Unprocessable(f"the sweep has {trials} trials; the limit for one sweep is {limit}")
