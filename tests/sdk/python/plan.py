"""What a script is told by the test that starts it, and how it reports.

A script gets one JSON object as its only argument: the gateway's address, keys and model names.
"""

import json
import sys
from types import SimpleNamespace


def read():
    """The plan, by attribute."""
    return SimpleNamespace(**json.loads(sys.argv[1]))


def check(what, holds, seen=None):
    """Stops the script when something does not hold."""
    if not holds:
        raise SystemExit(f"{what}: {seen!r}")
    print(f"ok {what}")


def raises(what, error_class, status, code, call):
    """Checks that a call raises exactly this class with this status and the gateway's code."""
    try:
        answer = call()
    except Exception as error:
        seen = (type(error).__name__, getattr(error, "status_code", None), str(error)[:300])
        check(f"{what} raises {error_class.__name__}", type(error) is error_class, seen)
        check(f"{what} has status {status}", error.status_code == status, seen)
        given = error.response.headers.get("x-yumen-code")
        check(f"{what} has code {code}", given == code, given)
        request_id = error.response.headers.get("x-request-id", "")
        check(f"{what} has a request id", request_id.startswith("req-"), request_id)
        return error
    raise SystemExit(f"{what} did not raise: {answer!r}")
