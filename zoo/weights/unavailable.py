"""`WeightsUnavailableError`: weights cannot be had here, and what to do about it."""

from __future__ import annotations


class WeightsUnavailableError(Exception):
    """Weights cannot be fetched or cannot be read here; the message says what to do."""

    @classmethod
    def from_network(cls, address: str, error: Exception, way_out: str) -> WeightsUnavailableError:
        """Of weights that cannot be fetched.

        Args:
            address: where they would come from.
            error: why they cannot.
            way_out: what the user can do.
        """
        import requests

        # What is inside a failed connection is long, and says no more than that there is none.
        reason = type(error).__name__ if isinstance(error, requests.ConnectionError) else str(error)
        return cls(f"cannot fetch {address}: {reason}. {way_out}")

    @classmethod
    def from_missing(cls, error: ImportError, way_out: str) -> WeightsUnavailableError:
        """Of weights that cannot be fetched because a package is not installed.

        Args:
            error: of the import.
            way_out: what the user can do without the package.
        """
        return cls(f'fetching weights takes {error.name}: `pip install "conv-zoo[train]"`. {way_out}')
