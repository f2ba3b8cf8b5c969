# Everything on a CPU, in one container: the gateway, Triton from its wheel, and an OpenVINO engine.
# Build from the repository's root: docker build -f deploy/cpu.Dockerfile .
FROM python:3.11.15-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/radserve \
 && /opt/radserve/bin/pip install --no-cache-dir --disable-pip-version-check '.[server,cpu]'

# Triton's backend starts the `python3` that stands first on PATH, and links this image's shared libpython3.11.
FROM python:3.11.15-slim-bookworm
ENV PATH=/opt/radserve/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/radserve /opt/radserve
# A volume that is put here takes over whose it is.
RUN install -d -m 700 -o 10001 -g 10001 /audit
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
# Options beside these may follow: radserve up --help
ENTRYPOINT ["radserve", "up"]
