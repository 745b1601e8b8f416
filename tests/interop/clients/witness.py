"""What the Python witnesses share: where the server is, and counting what it did right.

The server is named by MSSQL_HOST, MSSQL_PORT, MSSQL_USER, MSSQL_PASSWORD and MSSQL_DATABASE;
MSSQL_ENCRYPT=1 asks for TLS. Nothing here is particular
to the stand-in: the same witnesses may be run against SQL Server.
"""

import os
import sys
import time
import traceback

HOST = os.environ["MSSQL_HOST"]
PORT = int(os.environ["MSSQL_PORT"])
USER = os.environ["MSSQL_USER"]
PASSWORD = os.environ["MSSQL_PASSWORD"]
DATABASE = os.environ["MSSQL_DATABASE"]
ENCRYPT = os.environ.get("MSSQL_ENCRYPT") == "1"

_checks = []


def check(function):
    """Registers a check; it passes when it returns."""
    _checks.append(function)
    return function


def same(found, wanted):
    """Fails unless both have the same value and type."""
    if found != wanted or type(found) is not type(wanted):
        raise AssertionError(f"found {found!r}, wanted {wanted!r}")


def run(witness):
    """Runs every check, prints a line for each and the sum, and exits non-zero when one failed."""
    passed = failed = 0
    for function in _checks:
        name = function.__name__.replace("_", " ")
        began = time.monotonic()
        try:
            function()
        except Exception:
            failed += 1
            print(f"{witness}: FAILED {name}")
            traceback.print_exc(file=sys.stdout)
        else:
            passed += 1
            print(f"{witness}: ok {name} ({time.monotonic() - began:.2f} s)")
    print(f"{witness}: {passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)
