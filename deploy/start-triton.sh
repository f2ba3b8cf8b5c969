#!/usr/bin/env bash
# Starts Triton with the engine in $RADSERVE_ENGINE; further arguments go to tritonserver. With SHOW_COMMAND=1 the
# command is printed, not run.
#
# TensorRT-LLM's LLM API starts one process for each GPU over MPI, which fails below plain `tritonserver`
# (MPI_ERR_SPAWN): trtllm-llmapi-launch is what makes room for them, once for each rank. How many GPUs an engine wants
# stands in the engine's own llm_args.yaml and nowhere else. On several nodes srun or mpirun starts this script once
# for each GPU; then no ranks are added here.
set -euo pipefail

: "${RADSERVE_ENGINE:?must name the folder of an engine}"
[[ -f $RADSERVE_ENGINE/engine.json ]] || {
    echo "start-triton: $RADSERVE_ENGINE holds no engine.json: it is not an engine folder" >&2
    exit 2
}

arguments=$RADSERVE_ENGINE/llm_args.yaml
ranks=1
if [[ -f $arguments ]]; then
    ranks=$(sed -nE 's/^(tensor|pipeline)_parallel_size: *([0-9]+) *$/\2/p' "$arguments" |
        awk 'BEGIN { n = 1 } { n *= $1 } END { print n }')
fi

server=(
    tritonserver
    --model-repository="${MODEL_REPOSITORY:-/models}"
    --disable-auto-complete-config
    # gRPC is the gateway's door. HTTP only tells the health check, inside the container.
    --grpc-address="${GRPC_ADDRESS:-0.0.0.0}" --grpc-port="${GRPC_PORT:-8001}"
    --http-address=127.0.0.1 --http-port="${HTTP_PORT:-8080}"
    --metrics-address="${METRICS_ADDRESS:-0.0.0.0}" --metrics-port="${METRICS_PORT:-8002}"
    # The gateway pings while an engine is silent, to notice a dead one; Triton would call that abuse.
    --grpc-http2-max-ping-strikes=0
    --grpc-keepalive-permit-without-calls=1
    --exit-timeout-secs=15
    "$@"
)

launch=()
if [[ -f $arguments ]]; then
    launch=(trtllm-llmapi-launch)
    if ((ranks > 1)) && [[ -z ${OMPI_COMM_WORLD_SIZE:-}${SLURM_NTASKS:-}${PMI_SIZE:-} ]]; then
        launch=(mpirun --allow-run-as-root -n "$ranks" "${launch[@]}")
    fi
fi

if [[ -n ${SHOW_COMMAND:-} ]]; then
    echo "${launch[@]}" "${server[@]}"
    exit
fi
exec "${launch[@]}" "${server[@]}"
