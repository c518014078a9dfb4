"""The stages of a request, and the seconds that each took."""

from __future__ import annotations

from dataclasses import dataclass

STAGES = ("read", "decode", "queue", "run", "encode")


@dataclass(slots=True)
class Stages:
    """Seconds of each stage of one request; a stage that it did not reach has 0."""

    read: float = 0.0  # from the head of the request to the last byte of its body
    decode: float = 0.0  # making rows of the body, and checking them
    queue: float = 0.0  # waiting for the device
    run: float = 0.0  # on the device, with the other requests of the same batches
    encode: float = 0.0  # making the body of the reply
    waiting_since: float = 0.0  # by time.perf_counter, while in the queue

    def header(self) -> bytes:
        """The value of the header Server-Timing, in milliseconds (W3C Server Timing)."""
        return b"read;dur=%.3f, decode;dur=%.3f, queue;dur=%.3f, run;dur=%.3f, encode;dur=%.3f" % (
            1e3 * self.read,
            1e3 * self.decode,
            1e3 * self.queue,
            1e3 * self.run,
            1e3 * self.encode,
        )
