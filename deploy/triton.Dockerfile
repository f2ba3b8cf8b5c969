# NVIDIA's container with Triton and TensorRT-LLM 1.2.1, and radserve's engine side added to its own Python.
# Build from the repository's root: docker build -f deploy/triton.Dockerfile .
FROM python:3.11.15-slim-bookworm AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --disable-pip-version-check --no-deps --wheel-dir /wheels .

FROM nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3
# What TensorRT-LLM 1.2.1 does not bring: DICOM reading, codecs, signature checks. --no-deps, so that nothing of the
# container's own (numpy < 2, torch, transformers 4.57, tensorrt_llm) is replaced.
COPY deploy/triton-requirements.txt /tmp/
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --break-system-packages --no-cache-dir --disable-pip-version-check --no-deps -r /tmp/triton-requirements.txt /wheels/*.whl \
 && python3 -c "import radserve_engines.triton_model, radserve_engines.runtime.loading" \
 && install -d -o 1000 -g 1000 /cache
COPY --chmod=755 deploy/start-triton.sh /usr/local/bin/start-triton
# Kernels that are compiled at the first start are kept under /cache. Nothing is told to the makers of any part.
ENV HOME=/cache XDG_CACHE_HOME=/cache PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    TRTLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1
USER 1000:1000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20m --retries=3 \
    CMD ["curl", "--fail", "--silent", "--max-time", "4", "http://127.0.0.1:8080/v2/health/ready"]
ENTRYPOINT ["start-triton"]
