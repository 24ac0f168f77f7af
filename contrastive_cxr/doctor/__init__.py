"""How this machine is equipped for training: facts, a speed check, and plain sentences about them.

Begin with `facts.py`, which gathers the facts; `words.py` makes sentences of them.
"""

from contrastive_cxr.doctor.facts import examine
from contrastive_cxr.doctor.words import Line, lines

__all__ = ["Line", "examine", "lines"]
