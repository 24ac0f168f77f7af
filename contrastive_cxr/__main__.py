"""`python -m contrastive_cxr`: the command `ccxr`."""

from __future__ import annotations

from contrastive_cxr.cli import main

if __name__ == "__main__":
    main()
