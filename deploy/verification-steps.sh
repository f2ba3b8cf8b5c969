# shellcheck shell=bash disable=SC2154
# The steps of verify-gpu.sh, which sets the variables that are used here. A step is a function: its output is its log,
# its exit status its verdict. `radserve` and `show` print instead of running with --dry-run.

python=${PYTHON:-python3}
grpc_port=18001 http_port=18080 metrics_port=18002 gateway_port=18000
gateway=http://127.0.0.1:$gateway_port
server_pids=()
declare -A outcome=() seconds=()
order=()

# --- running a step -------------------------------------------------------------------------------------------------

run() { # NAME [after NAME… --] FUNCTION [ARGUMENT…]
    local name=$1 needed=() began
    shift
    if [[ $1 == after ]]; then
        shift
        while [[ $1 != -- ]]; do needed+=("$1") && shift; done
        shift
    fi
    order+=("$name")
    for one in "${needed[@]}"; do
        if [[ ${outcome[$one]} != ok ]]; then
            outcome[$name]="skipped: $one did not go well" seconds[$name]=0
            echo "-- $name: ${outcome[$name]}"
            return
        fi
    done
    echo "== $name"
    if [[ -n $dry_run ]]; then
        outcome[$name]=ok seconds[$name]=0
        "$@"
        return
    fi
    mkdir -p "$out/logs"
    began=$(date +%s)
    if "$@" >"$out/logs/$name.log" 2>&1; then outcome[$name]=ok; else outcome[$name]="failed ($?)"; fi
    seconds[$name]=$(($(date +%s) - began))
    echo "   ${outcome[$name]}, ${seconds[$name]} s"
    [[ ${outcome[$name]} == ok ]] || tail -n 5 "$out/logs/$name.log" | sed 's/^/   | /'
}

show() { # Run a command, or only print it
    if [[ -n $dry_run ]]; then printf '   %s\n' "$(printf '%q ' "$@")"; else "$@"; fi
}

radserve() { show "$python" -m radserve_client "$@"; }

finish() {
    local name status=0
    for name in "${order[@]}"; do [[ ${outcome[$name]} == ok ]] || status=1; done
    [[ -n $dry_run ]] || write_report
    exit "$status"
}

# --- what is there --------------------------------------------------------------------------------------------------

check_gpu() {
    if [[ -n $torch_only ]]; then
        show "$python" -c 'import torch; assert torch.cuda.is_available(), "PyTorch sees no GPU"; print(torch.cuda.get_device_name())'
    elif [[ $target == trtllm ]]; then
        show nvidia-smi --query-gpu=name,compute_cap,memory.total,memory.used,driver_version --format=csv
    fi
}

check_tools() {
    [[ $target != trtllm ]] || show "$python" "$root/deploy/check_trtllm.py" tools
}

install_packages() {
    # Beside the container's packages, never over them: its torch, tensorrt_llm and numpy stay what they are. The build
    # takes ModelOpt 0.47, whose exports are what the tests know; the gateway has its own everything.
    local pip=("$python" -m pip install --quiet --disable-pip-version-check --upgrade)
    show "${pip[@]}" --target "$out/packages/engine" --no-deps -r "$root/deploy/triton-requirements.txt" "$root" &&
        show "${pip[@]}" --target "$out/packages/build" --no-deps nvidia-modelopt==0.47.0 'peft>=0.18' &&
        show "${pip[@]}" --target "$out/packages/gateway" "${root}[bench]"
    local status=$?
    export PYTHONPATH=$out/packages/engine TRTLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 HF_HUB_OFFLINE=1
    return $status
}

check_arguments() {
    show "$python" "$root/deploy/check_trtllm.py" arguments
}

gpu_generation() { # of the oldest GPU, by its compute capability; nothing where there is none
    [[ $target == trtllm ]] || return 0
    case $(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sort -V | head -n 1) in
    8.9) echo ada ;;
    8.*) echo ampere ;;
    9.*) echo hopper ;;
    1[0-9].*) echo blackwell ;;
    esac
}

best_precision() { # before Ada there is no FP8, and OpenVINO has none
    if [[ $target != trtllm || $(gpu_generation) == ampere ]]; then echo int8; else echo fp8; fi
}

make_key() {
    [[ -f $out/signing-key ]] || radserve engine key "$out/signing-key"
}

# --- building and judging -------------------------------------------------------------------------------------------

build_engine() { # without the gate, which is a step of its own; 3 says just that
    local options=(--checkpoint "$checkpoint" "${adapters[@]}" --target "$target" --precision "$1") generation status
    options+=(--calibration "$calibration" --tensor-parallel "$tensor_parallel")
    generation=$(gpu_generation)
    [[ -z $generation ]] || options+=(--gpu "$generation")
    PYTHONPATH=$out/packages/build:${PYTHONPATH:-} \
        radserve engine build "${options[@]}" --key "$out/signing-key" --out "$engine"
    status=$?
    return $((status == 3 ? 0 : status))
}

gate_engine() { # against the checkpoint with its adapters merged, whose answers are kept for the next engine
    local options=(--checkpoint "$checkpoint" --set "$gate")
    ((${#adapters[@]} == 0)) || options[1]=$engine.build/checkpoint
    [[ -z $limit ]] || options+=(--gate-limit "$limit")
    radserve engine gate "$engine" "${options[@]}" --reference-answers "$out/reference-answers" \
        --key "$out/signing-key" --out "$out/gates/$1"
}

# --- serving --------------------------------------------------------------------------------------------------------

start_servers() {
    local ungated=1 # so that its speed is known all the same; the report has the gate's verdict
    [[ ${outcome[gate-$1]} != ok ]] || ungated=0
    export RADSERVE_ENGINE=$engine RADSERVE_TRUSTED_KEYS=$out/signing-key.pub RADSERVE_ALLOW_UNGATED=$ungated
    export MODEL_REPOSITORY=$root/model_repo GRPC_ADDRESS=127.0.0.1 GRPC_PORT=$grpc_port HTTP_PORT=$http_port
    export METRICS_ADDRESS=127.0.0.1 METRICS_PORT=$metrics_port
    if [[ -n $dry_run ]]; then
        show "$root/deploy/start-triton.sh"
        show "$python" -m radserve_server --port "$gateway_port" --triton-url "127.0.0.1:$grpc_port"
        return
    fi
    setsid "$root/deploy/start-triton.sh" >"$out/logs/triton-$1.log" 2>&1 &
    server_pids+=($!)
    env -u RADSERVE_ENGINE -u RADSERVE_TRUSTED_KEYS PYTHONPATH="$out/packages/gateway" \
        setsid "$python" -m radserve_server --port "$gateway_port" --triton-url "127.0.0.1:$grpc_port" \
        >"$out/logs/gateway-$1.log" 2>&1 &
    server_pids+=($!)
    wait_until_ready "$1"
}

wait_until_ready() { # 20 minutes: the first start compiles kernels and captures graphs
    local pid
    for _ in $(seq 600); do
        curl --fail --silent --max-time 5 "$gateway/health/ready" && return 0
        for pid in "${server_pids[@]}"; do
            kill -0 "$pid" 2>/dev/null || { echo "a server ended:" && tail -n 20 "$out/logs/"{triton,gateway}"-$1.log" && return 1; }
        done
        sleep 2
    done
    echo "not ready after 20 minutes:" && curl --silent "$gateway/health/ready" && tail -n 20 "$out/logs/triton-$1.log"
    return 1
}

stop_servers() {
    local pid
    for pid in "${server_pids[@]}"; do kill -TERM -- "-$pid" 2>/dev/null; done
    for _ in $(seq 60); do
        kill -0 "${server_pids[@]}" 2>/dev/null || break
        sleep 0.5
    done
    for pid in "${server_pids[@]}"; do kill -KILL -- "-$pid" 2>/dev/null; done
    [[ -z ${server_pids[*]} ]] || wait "${server_pids[@]}" 2>/dev/null
    server_pids=()
}
trap stop_servers EXIT

ask_question() {
    local file=$image answer=$out/answers/$1.txt
    if [[ -z $file && -z $dry_run ]]; then
        file=$("$python" -c 'from pydicom.data import get_testdata_file as f; print(f("J2K_pixelrep_mismatch.dcm", download=False))')
    fi
    [[ -n $dry_run ]] || mkdir -p "$out/answers"
    show curl --no-buffer --fail-with-body --silent --show-error --max-time 300 -H 'Accept: text/event-stream' \
        -F "image=@${file:-slice.dcm};type=application/dicom" -F 'question=Which organ is shown?' \
        -o "$answer" "$gateway/v1/vqa" || return
    [[ -n $dry_run ]] || { cat "$answer" && grep -q '^event: delta' "$answer" && grep -q '^event: answer' "$answer"; }
}

put_load() {
    PYTHONPATH=$out/packages/gateway radserve bench "$gateway" --closed 1,8,32 --requests 64 --tokens 64 --rounds 1 \
        --out "$out/load/$1"
}

keep_metrics() {
    show curl --fail --silent "$gateway/metrics" &&
        show curl --fail --silent "http://127.0.0.1:$metrics_port/metrics"
}

# --- PyTorch, and the report ----------------------------------------------------------------------------------------

compare_in_torch() { # FOLDER
    local exports=("${quantized[@]}") sets=() precision
    if [[ -z $torch_only && $target == trtllm ]]; then
        for precision in "${precisions[@]}"; do
            [[ ! -f $out/engines/$precision/hf_quant_config.json ]] || exports+=(--quantized "$out/engines/$precision")
        done
    fi
    [[ -z $gate ]] || sets=(--set "$gate" --limit "${limit:-200}")
    [[ -z $torch_only ]] || export PYTHONPATH=$root/server:$root/engines:$root/clients:$root/benchmarks:${PYTHONPATH:-}
    show "$python" -m radserve_bench.torch_device --checkpoint "$checkpoint" "${exports[@]}" "${sets[@]}" --out "$1"
}

measure_models() { # FOLDER
    show "$python" "$root/benchmarks/gpu.py" --out "$1"
}

write_report() {
    local name file gpus
    gpus=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | sort | uniq -c | xargs)
    {
        echo "# radserve on ${gpus:-a CPU}"
        printf '\nCheckpoint %s, target %s, tensor parallel %s, %s.\n\n' \
            "$(basename "$checkpoint")" "$target" "$tensor_parallel" "$(date -u +%Y-%m-%d)"
        printf '| step | outcome | s |\n| --- | --- | --- |\n'
        for name in "${order[@]}"; do echo "| $name | ${outcome[$name]} | ${seconds[$name]} |"; done
        for file in "$out"/logs/load-*.log; do
            [[ -f $file ]] || continue
            name=${file##*/load-}
            printf '\n## %s under load\n\n```\n' "${name%.log}"
            grep 'at once' "$file"
            printf '```\n'
        done
        for file in "$out"/logs/gate-*.log; do
            [[ -f $file ]] || continue
            name=${file##*/gate-}
            printf '\n## Gate of %s\n\n```\n' "${name%.log}"
            sed -n '/^engine  /,$p' "$file"
            printf '```\n'
        done
        if [[ -f $out/logs/torch.log ]]; then
            printf '\n## The same checkpoint in PyTorch (simulated rows compute in bf16)\n\n```\n'
            grep '^{"name"' "$out/logs/torch.log"
            printf '```\n'
        fi
    } >"$out/report.md"
    echo "written: $out/report.md"
}
