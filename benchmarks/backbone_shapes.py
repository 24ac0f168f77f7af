"""Write the table of tensor shapes by which a backbone is named from a file alone (`models/shapes.json`).

    python benchmarks/backbone_shapes.py

Run it where timm or torchvision have a new version, or where `families.KIN` has new patterns; it takes minutes.
"""

from __future__ import annotations

import fnmatch

import torch

from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.models.checkpoints import families, nearest_backbone, shapes


def main() -> None:
    names = [
        name
        for kind in families.KIN
        for pattern in kind.backbones
        for name in fnmatch.filter(nearest_backbone.known(), pattern)
    ]
    table: dict[str, shapes.Counted] = {}
    for name in dict.fromkeys(names):
        try:
            with torch.device("meta"):
                body = catalogue.colour(name)
        except Exception as error:
            print(f"{name} is left out: {str(error).splitlines()[0]}")
            continue
        table[name] = shapes.counted(tuple(value.shape) for value in body.state_dict().values())
    shapes.FILE.write_text(shapes.written(table))
    print(f"{len(table)} backbones, {shapes.FILE.stat().st_size} bytes: {shapes.FILE}")


if __name__ == "__main__":
    main()
