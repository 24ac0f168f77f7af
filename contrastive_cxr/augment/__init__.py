"""Augmentation on the device with parameters drawn on the CPU; the only room that knows kornia."""

from contrastive_cxr.augment.draws import Draw, draw
from contrastive_cxr.augment.fixed_views import FixedViews
from contrastive_cxr.augment.images import apply, augment, equalise, plain
from contrastive_cxr.augment.mix import MixDraw, draw_mix, mix
from contrastive_cxr.augment.pictures import parameters, picture
from contrastive_cxr.augment.sets import AUGMENT_SETS, SETS, AugmentSet, Choice, check_set, resolve
from contrastive_cxr.augment.tta import TTA_SETS, views

__all__ = [
    "AUGMENT_SETS",
    "SETS",
    "TTA_SETS",
    "AugmentSet",
    "Choice",
    "Draw",
    "FixedViews",
    "MixDraw",
    "apply",
    "augment",
    "check_set",
    "draw",
    "draw_mix",
    "equalise",
    "mix",
    "parameters",
    "picture",
    "plain",
    "resolve",
    "views",
]
