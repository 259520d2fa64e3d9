"""Everything that scoring can refuse; docs/errors.md says when. A message names the field, what was
expected and what came (its type or size, never its content)."""


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
