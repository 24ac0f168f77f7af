"""The launch files of docs/scale: what can be known of them without a cluster."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contrastive_cxr import recipe as recipes

SCALE = Path(__file__).resolve().parents[1] / "docs" / "scale"


def run_script(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", *words, str(SCALE / "slurm.sh")], capture_output=True, text=True, check=False)


def test_the_slurm_script_is_bash_and_asks_for_its_words() -> None:
    assert run_script("-n").returncode == 0
    bare = run_script()
    assert bare.returncode == 2
    assert "give the words of ccxr" in bare.stderr
    lines = (SCALE / "slurm.sh").read_text().splitlines()
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", "\n".join(lines), re.MULTILINE))
    assert options["ntasks-per-node"] == "1", "torchrun starts the processes"
    first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(not line.startswith("#SBATCH") for line in lines[first_command:]), "sbatch stops reading there"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not here")
def test_the_slurm_script_passes_shellcheck() -> None:
    done = subprocess.run(["shellcheck", str(SCALE / "slurm.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def parts() -> dict[str, dict[str, Any]]:
    """The objects of the Kubernetes file by kind."""
    return {item["kind"]: item for item in yaml.safe_load_all((SCALE / "kubernetes.yaml").read_text())}


def test_the_kubernetes_pods_find_each_other_and_their_volumes() -> None:
    """Fields of v1 Service and batch/v1 Job, and what has to agree between them."""
    service, job = parts()["Service"], parts()["Job"]
    assert (service["apiVersion"], job["apiVersion"]) == ("v1", "batch/v1")
    name, spec = service["metadata"]["name"], job["spec"]
    assert set(service["spec"]) == {"clusterIP", "publishNotReadyAddresses", "selector", "ports"}
    assert service["spec"]["clusterIP"] == "None", "a text: without quotes YAML reads it as one too"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}, "the label that a Job gives its pods"
    assert set(spec) == {"completionMode", "completions", "parallelism", "backoffLimit", "template"}
    assert spec["completionMode"] == "Indexed", "gives JOB_COMPLETION_INDEX and the host names"
    assert spec["completions"] == spec["parallelism"], "all of them at once"
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] in ("Never", "OnFailure"), "all that a Job allows"
    assert pod["subdomain"] == name
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert all(isinstance(each["value"], str) for each in container["env"]), "environment values are text"
    said = torchrun_words(container)
    assert said["--master-addr"] == f"{job['metadata']['name']}-0.{name}"
    assert int(said["--master-port"]) == service["spec"]["ports"][0]["port"]
    assert int(said["--nnodes"]) == spec["completions"]
    assert int(said["--nproc-per-node"]) == container["resources"]["limits"]["nvidia.com/gpu"]
    assert said["--node-rank"] == "$JOB_COMPLETION_INDEX"


def torchrun_words(container: dict[str, Any]) -> dict[str, str]:
    """torchrun's options in the container's script."""
    assert container["command"] == ["bash", "-euc"]
    (script,) = container["args"]
    words = shlex.split(script[script.index("torchrun") :].replace("\\\n", " "))
    end = words.index("-m")
    return dict(zip(words[1:end:2], words[2:end:2], strict=True))


def test_what_the_files_run_is_a_recipe_that_their_processes_can_share() -> None:
    container = parts()["Job"]["spec"]["template"]["spec"]["containers"][0]
    words = shlex.split(container["args"][0].replace("\\\n", " "))
    options = torchrun_words(container)
    processes = int(options["--nnodes"]) * int(options["--nproc-per-node"])
    place = words.index("run")
    changes = [word for word in words[place + 2 :] if re.match(r"[a-z_.]+=", word)]
    recipe = recipes.load(words[place + 1], changes)
    assert recipe.pretrain is not None
    assert recipe.embed is not None
    assert recipe.finetune is not None
    classes = len(recipe.task.classes)
    for size in (recipe.pretrain.batch_size, recipe.embed.images_per_class * classes, recipe.finetune.batch_size):
        assert size % processes == 0
    assert f" run {words[place + 1]} " in (SCALE / "slurm.sh").read_text()
