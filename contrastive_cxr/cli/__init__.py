"""The command `ccxr`: parses, calls `experiment`, prints."""

from __future__ import annotations

import logging
import sys

from contrastive_cxr.errors import CcxrError, RequestError


def main() -> None:
    """Run the command line; exit 0 done, 1 failed while running, 2 the request is wrong, 130 stopped by Ctrl-C."""
    from contrastive_cxr.cli.app import app

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except RequestError as error:
        sys.stderr.write("".join(f"error: {fault}\n" for fault in error.faults))
        sys.exit(error.exit_code)
    except CcxrError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
