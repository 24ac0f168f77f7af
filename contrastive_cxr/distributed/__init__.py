"""Work on the machines of a Ray cluster: connecting, calls of functions, a stream through workers; no science.

The one room that imports Ray, and it does so late, as Ray is optional (extra `ray`).
"""

from contrastive_cxr.distributed.cluster import Cluster, connected

__all__ = ["Cluster", "connected"]
