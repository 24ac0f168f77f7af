#!/usr/bin/env bash
#SBATCH --job-name=ccxr
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#
# ccxr on every GPU of every node: one process a GPU. The words are those of ccxr:
#
#   sbatch docs/scale/slurm.sh run xray/three-class data.root=/shared/images --out /shared/runs/xray --resume auto
#   sbatch --nodes=1 docs/scale/slurm.sh encode /shared/runs/xray /shared/images --out /shared/vectors --device cuda
#
# Other sizes: sbatch --nodes=8 --gpus-per-node=4 docs/scale/slurm.sh ... . The images, the cache (data.cache_dir) and
# --out must lie where every node sees them. Two minutes before the time is over the training is told to save itself;
# the same line, submitted again, goes on.
set -euo pipefail

if [ "$#" -eq 0 ]; then
    echo "give the words of ccxr: sbatch $0 run RECIPE data.root=DIR --out RUN --resume auto" >&2
    exit 2
fi

# the first line without `head`: it closes the pipe early, and with pipefail a slower scontrol then ends the job (141)
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
first=${hosts%%$'\n'*}
processes=${SLURM_GPUS_ON_NODE:-1}
# what torch computes on the CPU beside each GPU
export OMP_NUM_THREADS=$((SLURM_CPUS_PER_TASK / processes > 1 ? SLURM_CPUS_PER_TASK / processes : 1))
# a port of the job's own, so that two jobs on one node do not meet
port=$((20000 + SLURM_JOB_ID % 10000))

# one task a node, which starts that node's processes; where one node fails the others end too
srun --kill-on-bad-exit=1 torchrun \
    --nnodes "$SLURM_NNODES" \
    --nproc-per-node "$processes" \
    --rdzv-id "$SLURM_JOB_ID" \
    --rdzv-backend c10d \
    --rdzv-endpoint "$first:$port" \
    -m contrastive_cxr "$@"
