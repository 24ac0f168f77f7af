#!/usr/bin/env bash
# Everything that a GPU has to say about the speed, in one call of at most eight minutes:
#
#   bash benchmarks/gpu.sh OUT [PYTHON [NAME...]]
#
# OUT: a folder for the result files; copy those that are to be kept into benchmarks/results. PYTHON: an interpreter with this
# package, by default .venv/bin/python. NAME: parts to run, by default all. Each part has its own
# time limit, and a part that fails leaves the others alone.
set -u
out=${1:?a folder for the results}
python=${2:-.venv/bin/python}
parts=("${@:3}")
mkdir -p "$out"
failed=0

part() {  # part SECONDS NAME WORDS...
    local limit=$1 name=$2
    shift 2
    case " ${parts[*]:-$name} " in *" $name "*) ;; *) return ;; esac
    echo "== $name"
    timeout "$limit" "$python" -m "$@" --result "$out/$name.json" || { echo "$name: failed, exit code $?" >&2; failed=1; }
}

"$python" -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else "no GPU here")' || exit 2
# the first part also waits for a machine that has read nothing yet
part 120 end_to_end_gpu benchmarks.end_to_end --repeats 2
part 45 step_parts_gpu benchmarks.step_parts
part 75 encoding_gpu benchmarks.encoding --repeats 2 --few 100 --many 500
part 120 end_to_end_gpu_graphs benchmarks.end_to_end --repeats 1 --phase pretrain --compile reduce-overhead
part 120 end_to_end_gpu_compiled benchmarks.end_to_end --repeats 1 --phase pretrain --compile true
exit $failed
