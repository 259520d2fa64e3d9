"""Everything that scoring can refuse, each with the code and the HTTP status that a client sees.

ScoringError             code                   status when
├── InvalidBody          invalid_body           400    not what the content type says (JSON)
├── MissingField         missing_field          400    a required field is absent
├── InvalidType          invalid_type           400    a field holds another type
├── InvalidValue         invalid_value          400    a value that cannot be scored
├── InvalidImage         invalid_image          400    truncated, damaged or not an image
├── InvalidUrl           invalid_url            400    no URL that a picture is fetched from
├── UrlNotAllowed        url_not_allowed        403    fetching is off, or not from that host
├── FetchFailed          fetch_failed           424    the URL's host gave no picture in time
├── UnsupportedMediaType unsupported_media_type 415    the task takes no such type
├── UnsupportedEncoding  unsupported_encoding   415    unknown charset or content encoding
├── NotAcceptable        not_acceptable         406    the answer has no such form
├── TooLarge             too_large              413    a limit on bytes, items, tokens, pixels
├── ModelError           invalid_model          500    unusable model directory; by load() only
└── InternalError        internal               500    a defect; its traceback is in the log

A message names the field, what was expected and what came (its type or size, never its content).
"""

from __future__ import annotations


class ScoringError(Exception):
    """A refusal with a stable `code`, an HTTP `status` and a message that clients may see."""

    code, status = "internal", 500


class InvalidBody(ScoringError):
    code, status = "invalid_body", 400


class MissingField(ScoringError):
    code, status = "missing_field", 400


class InvalidType(ScoringError):
    code, status = "invalid_type", 400


class InvalidValue(ScoringError):
    code, status = "invalid_value", 400


class InvalidImage(ScoringError):
    code, status = "invalid_image", 400


class InvalidUrl(ScoringError):
    code, status = "invalid_url", 400


class UrlNotAllowed(ScoringError):
    code, status = "url_not_allowed", 403


class FetchFailed(ScoringError):
    """No 5xx: clients choose URLs, and shall ring no alarm by them."""

    code, status = "fetch_failed", 424


class UnsupportedMediaType(ScoringError):
    code, status = "unsupported_media_type", 415


class UnsupportedEncoding(ScoringError):
    code, status = "unsupported_encoding", 415


class NotAcceptable(ScoringError):
    code, status = "not_acceptable", 406


class TooLarge(ScoringError):
    code, status = "too_large", 413


class ModelError(ScoringError):
    """An unusable model directory; by load() only."""

    code, status = "invalid_model", 500


class InternalError(ScoringError):
    """A defect; its traceback is in the log."""
