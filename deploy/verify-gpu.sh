#!/usr/bin/env bash
# One command that shows on a GPU what cannot be shown without one. In NVIDIA's container, from a checkout:
#
#   docker run --rm --gpus all --shm-size 8g --ulimit memlock=-1 -v "$PWD":/radserve -v /data:/data -w /radserve \
#     nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3 deploy/verify-gpu.sh \
#     --calibration /data/train.jsonl --gate /data/validate.jsonl
#
# It builds an engine in each precision and the bf16 reference, gates them on the runtime that serves them, serves each
# through Triton and the gateway, asks a question as a stream, puts load on it, and runs the same checkpoint in PyTorch.
# Each step is timed and has its own log; a step that needs one that failed is skipped, all others go on. OUT/report.md
# tells the end of it, and the exit status is 0 only if every step went well. What was done is not done again.
#
# --torch-only needs no container, only the packages of radserve[baseline] with a PyTorch that sees the GPU: it is the
# PyTorch part alone, with Qwen2.5-VL 3B and 7B at their true size (benchmarks/gpu.py), kept in benchmarks/results.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

usage() {
    cat <<'TEXT'
verify-gpu.sh --calibration FILE.jsonl --gate FILE.jsonl [options]
  --checkpoint DIR       fine-tuned checkpoint (default: the demo checkpoint)
  --adapter DIR          LoRA adapter to merge; may be given again
  --precision NAME       beside bf16; may be given again (default: fp8, or int8 before Ada)
  --target NAME          trtllm (default) or openvino
  --tensor-parallel N    GPUs of one engine (default: 1)
  --limit N              questions of each set that the gate asks (default: all; with under 200 none can pass)
  --image FILE           asked about (default: a CT slice that pydicom ships)
  --out DIR              results (default: runs/verify-gpu)
  --quantized DIR        with --torch-only: a quantized export to compare; may be given again
  --torch-only           the PyTorch part alone
  --dry-run              print the steps, run none
TEXT
}

checkpoint=$root/models/radserve-demo/checkpoint
out=$root/runs/verify-gpu
calibration='' gate='' image='' limit='' target=trtllm tensor_parallel=1 torch_only='' dry_run=''
precisions=() adapters=() quantized=()

while (($#)); do
    case $1 in
    --torch-only) torch_only=1 && shift && continue ;;
    --dry-run) dry_run=1 && shift && continue ;;
    -h | --help) usage && exit 0 ;;
    esac
    (($# > 1)) || { echo "verify-gpu: $1 is unknown, or lacks a value" >&2 && usage >&2 && exit 2; }
    case $1 in
    --checkpoint) checkpoint=$2 ;;
    --adapter) adapters+=(--adapter "$2") ;;
    --calibration) calibration=$2 ;;
    --gate) gate=$2 ;;
    --precision) precisions+=("$2") ;;
    --target) target=$2 ;;
    --tensor-parallel) tensor_parallel=$2 ;;
    --limit) limit=$2 ;;
    --image) image=$2 ;;
    --out) out=$2 ;;
    --quantized) quantized+=(--quantized "$2") ;;
    *) echo "verify-gpu: unknown option $1" >&2 && usage >&2 && exit 2 ;;
    esac
    shift 2
done
if [[ -z $torch_only && (-z $calibration || -z $gate) ]]; then
    echo "verify-gpu: --calibration and --gate are needed: question sets, one JSON object a line" >&2
    exit 2
fi

# shellcheck source=deploy/verification-steps.sh
source "$root/deploy/verification-steps.sh"

if [[ -n $torch_only ]]; then
    run gpu check_gpu
    run torch compare_in_torch "$root/benchmarks/results"
    run models measure_models "$root/benchmarks/results"
    finish
fi

run gpu check_gpu
run tools check_tools
run packages install_packages
[[ $target != trtllm ]] || run arguments after packages -- check_arguments
run key make_key
((${#precisions[@]})) || precisions=("$(best_precision)")
for precision in bf16 "${precisions[@]}"; do
    engine=$out/engines/$precision
    run "build-$precision" after packages key -- build_engine "$precision"
    run "gate-$precision" after "build-$precision" -- gate_engine "$precision"
    run "serve-$precision" after "build-$precision" -- start_servers "$precision"
    run "ask-$precision" after "serve-$precision" -- ask_question "$precision"
    run "load-$precision" after "serve-$precision" -- put_load "$precision"
    run "metrics-$precision" after "ask-$precision" -- keep_metrics "$precision"
    stop_servers
done
run torch after packages -- compare_in_torch "$out/torch"
finish
