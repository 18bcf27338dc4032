"""The error tree: each class carries its HTTP status; a format dresses it for its clients.

ReliquaryError
|-- SettingsError                what the operator wrote is wrong (never reaches a client)
|-- Refused                      the request cannot be done as it stands
|   |-- Malformed            400 the path, header or body breaks the protocol
|   |-- Unauthenticated      401 who are you?
|   |-- Forbidden            403 known, but not allowed
|   |-- NotHere              404 certainly not here
|   |-- WrongMethod          405
|   |-- NotAcceptable        406
|   |-- Conflict             409
|   |   `-- AlreadyThere         other bytes under a name that is taken
|   |-- PreconditionFailed   412
|   |-- TooLarge             413
|   |-- UnknownCoding        415
|   `-- RangeUnsatisfiable   416
`-- CannotTell                   Reliquary could not find out, or could not store it
    |-- Unavailable          503 an upstream did not answer usably
    |   `-- Mismatch             bytes disagree with what the index named
    |-- Broken               503 a transfer that had begun was cut
    `-- Full                 507 no room to store what was sent
"""

from __future__ import annotations


class ReliquaryError(Exception):
    """The root of the tree.

    Args:
        message: one or two sentences for the person at the client: what is wrong, what to do.
        code: a short machine-readable word; the class gives a default.
    """

    status = 500
    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class SettingsError(ReliquaryError):
    """A setting, a flag or a declaration is wrong; the message names it."""

    code = "settings"


class Refused(ReliquaryError):
    """The request cannot be done as it stands; asking again the same way will not help."""

    status = 400


class Malformed(Refused):
    """The path, a header or the body breaks the protocol."""

    status = 400
    code = "malformed"


class Unauthenticated(Refused):
    """Credentials are missing or wrong; the answer carries a challenge."""

    status = 401
    code = "unauthenticated"


class Forbidden(Refused):
    """The caller is known and lacks the right."""

    status = 403
    code = "forbidden"


class NotHere(Refused):
    """Certainly not here: hosted has no such thing, or the upstream said so."""

    status = 404
    code = "not-found"


class WrongMethod(Refused):
    """The thing exists but does not take this method.

    Args:
        message: what to do instead.
        allow: the methods it takes.
    """

    status = 405
    code = "method-not-allowed"

    def __init__(self, message: str, *, allow: tuple[str, ...] = ("GET", "HEAD")) -> None:
        super().__init__(message)
        self.allow = allow


class NotAcceptable(Refused):
    """None of the media types the client takes is offered."""

    status = 406
    code = "not-acceptable"


class Conflict(Refused):
    """The state of the repository forbids it."""

    status = 409
    code = "conflict"


class AlreadyThere(Conflict):
    """Other bytes are stored under the name that was sent."""

    code = "already-exists"


class PreconditionFailed(Refused):
    """If-Match or If-Unmodified-Since does not hold."""

    status = 412
    code = "precondition-failed"


class TooLarge(Refused):
    """A body, a part or an archive is larger than its limit."""

    status = 413
    code = "too-large"


class UnknownCoding(Refused):
    """The request body has a Content-Encoding that is not known."""

    status = 415
    code = "unsupported-encoding"


class RangeUnsatisfiable(Refused):
    """The range starts past the end.

    Args:
        size: whole size in bytes, for Content-Range.
    """

    status = 416
    code = "range-not-satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"the range starts past the end of the {size} bytes there are")
        self.size = size


class CannotTell(ReliquaryError):
    """Reliquary could not find out or could not store; a later try may work.

    Args:
        message: what could not be done.
        retry_after: seconds after which asking again makes sense.
    """

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, code: str | None = None, retry_after: int = 30) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class Unavailable(CannotTell):
    """An upstream is down, slow, lying or refuses us: nothing can be said about the name."""


class Mismatch(Unavailable):
    """The bytes that came are not the bytes that the index named."""

    code = "mismatch"


class Broken(CannotTell):
    """A transfer that had begun was cut: the connection to the client is cut too."""

    code = "broken"


class Full(CannotTell):
    """No room on the disk for what was sent; nothing was stored."""

    status = 507
    code = "disk-full"
