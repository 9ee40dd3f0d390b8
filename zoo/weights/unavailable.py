"""`WeightsUnavailableError`, which says what to do without a network."""

from __future__ import annotations


class WeightsUnavailableError(Exception):
    """Published weights are not in the cache, and cannot be fetched.

    Args:
        address: where they would come from.
        error: why they cannot.
        way_out: what the user can do.
    """

    def __init__(self, address: str, error: Exception, way_out: str) -> None:
        import requests

        # What is inside a failed connection is long, and says no more than that there is none.
        reason = type(error).__name__ if isinstance(error, requests.ConnectionError) else str(error)
        super().__init__(f"cannot fetch {address}: {reason}. {way_out}")
