"""docs/reference/weights.md: its backbones are there, and its commands run on small networks of random weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torchvision
from typer.testing import CliRunner

from contrastive_cxr.cli.app import app
from contrastive_cxr.data import phantom
from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.models.pretrained import locations
from tests.small import overrides

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "weights.md").read_text(encoding="utf-8")
NAME = "shufflenet_v2_x0_5"  # the smallest
COMMANDS = re.findall(r"^    (ccxr .+?)(?:  +.*)?$", PAGE, re.MULTILINE)


def test_every_backbone_of_the_page_is_there() -> None:
    pytest.importorskip("timm")
    named = set(re.findall(r"`((?:timm/[a-z]\w+[a-z0-9])|densenet121|resnet18|resnet50)`", PAGE))
    assert len(named) >= 8
    for name in named:
        catalogue.check(name)
    for file in ("model.safetensors", "pytorch_model.bin"):
        assert file in locations.FILES
        assert f"{file}.index.json" in locations.FILES


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_run(tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small network in the place of the page's, and a folder in that of the hub's repository."""
    torch.manual_seed(0)
    folder = tmp_path / "repository"
    folder.mkdir()
    state = torchvision.models.shufflenet_v2_x0_5().state_dict()
    for file in (folder / "pytorch_model.bin", tmp_path / "model.pth.tar"):
        torch.save(state, file)
    monkeypatch.chdir(tmp_path)
    words = command.split()[1:]
    here = {"hf-hub:microsoft/rad-dino": str(folder), "FILE": "model.pth.tar", "GALLERY": "gallery"}
    words = [re.sub(r"=(.+)", lambda found: f"={here.get(found[1], found[1])}", here.get(word, word)) for word in words]
    words = [re.sub(r"^model.backbone=.*", f"model.backbone={NAME}", word) for word in words]
    words = [re.sub(r"^model.image_size=.*", "model.image_size=64", word) for word in words]
    if words[0] == "run":
        small = [word for word in overrides(tmp_path / "cache") if not word.startswith("model.")]
        done = CliRunner().invoke(app, ["run", "phantom", *small, *words[2:], "--dry-run"])
        assert "tensors of shufflenet_v2_x0_5 are loaded" in done.output
    else:
        phantom.paint(tmp_path / "images", 8, 0)
        done = CliRunner().invoke(app, [word.replace("IMAGES...", "images") for word in words] + ["--image-size", "64"])
        assert (tmp_path / "gallery" / "encoder" / "model.json").is_file()
    assert done.exit_code == 0, done.output
