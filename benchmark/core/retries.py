"""When a request is tried again, and how long is waited before that."""

from __future__ import annotations

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

LONGEST_WAIT = 120.0
"""Seconds between two tries: others wait for what is asked, and nobody sees why."""


class CappedRetry(Retry):
    """Heeds a server's `Retry-After`, but waits `LONGEST_WAIT` at most.

    urllib3 has a cap of its own (`retry_after_max`) in its newest versions alone; older ones wait
    for days, if they are told to. A header that is no time counts as none.
    """

    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds to wait."""
        try:
            return min(super().parse_retry_after(retry_after), LONGEST_WAIT)
        except InvalidHeader:
            return 0.0
