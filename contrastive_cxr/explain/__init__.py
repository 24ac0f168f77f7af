"""Why a network answers as it does: maps of one image, and the image that a class would like best."""

from contrastive_cxr.explain.ascent import Ascent, Risen, maximise
from contrastive_cxr.explain.attention import attention_map, rollout
from contrastive_cxr.explain.gradcam import class_map, grad_cam, installed
from contrastive_cxr.explain.overlays import blend, grey, layer, overlay, standing_out
from contrastive_cxr.explain.page import VERSION, render
from contrastive_cxr.explain.similarity import Similarity, similarity

__all__ = [
    "VERSION",
    "Ascent",
    "Risen",
    "Similarity",
    "attention_map",
    "blend",
    "class_map",
    "grad_cam",
    "grey",
    "installed",
    "layer",
    "maximise",
    "overlay",
    "render",
    "rollout",
    "similarity",
    "standing_out",
]
