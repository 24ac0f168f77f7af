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
part 90 end_to_end_gpu benchmarks.end_to_end --repeats 3
part 60 step_parts_gpu benchmarks.step_parts
part 60 encoding_gpu benchmarks.encoding --repeats 3 --few 200 --many 2000
part 130 end_to_end_gpu_graphs benchmarks.end_to_end --repeats 2 --phase pretrain --compile reduce-overhead
part 130 end_to_end_gpu_compiled benchmarks.end_to_end --repeats 2 --phase pretrain --compile true
exit $failed
