"""What the checks with real servers have in common: a port that is free, and waiting for what comes by itself."""

import socket
import time


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def within(seconds, what, look, passing=OSError):
    """What `look` finds at last. An error of the kinds `passing` is one more reason to look again."""
    until, last = time.monotonic() + seconds, None
    while time.monotonic() < until:
        try:
            if found := look():
                return found
        except passing as error:
            last = error
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {what}" + (f" ({last})" if last else ""))
