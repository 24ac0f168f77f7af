"""The command `ccxr`: parses, calls the rooms below, prints."""

from __future__ import annotations

import logging
import sys
import warnings

from contrastive_cxr.errors import CcxrError, RequestError, Signalled, visible


def main() -> None:
    """Run the command line.

    Exit 0 done, 1 failed while running, 2 the request is wrong; stopped by Ctrl-C 130, SIGTERM 143, SIGUSR1 138.
    """
    from contrastive_cxr.alerts import wrapped
    from contrastive_cxr.cli.app import app
    from contrastive_cxr.cli.signals import raised
    from contrastive_cxr.terminal import Messages

    logging.basicConfig(level=logging.WARNING, handlers=[Messages()])
    # what pydicom meets in a damaged file is said in our own words
    logging.getLogger("pydicom").propagate = False  # its level is set anew when pydicom is imported
    logging.getLogger("pydicom.pixels").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    logging.raiseExceptions = False  # W&B logs into files: on a full disk each line would print a traceback
    try:
        with raised():
            app(prog_name="ccxr")
    except RequestError as error:
        sys.stderr.write("".join(f"{wrapped(f'error: {visible(fault)}', sys.stderr)}\n" for fault in error.faults))
        sys.exit(error.exit_code)
    except CcxrError as error:
        sys.stderr.write(f"{wrapped(f'error: {visible(str(error))}', sys.stderr)}\n")
        sys.exit(error.exit_code)
    except Signalled as stopped:
        text = (
            f"stopped by {stopped}; nothing is half-written. The same command goes on or begins again, "
            "a training with --resume auto"
        )
        sys.stderr.write(f"{wrapped(text, sys.stderr)}\n")
        sys.exit(stopped.exit_code)
