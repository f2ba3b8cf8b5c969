# The gateway: HTTP, API keys, DICOM decoding. It holds no model and needs no GPU.
# Build from the repository's root: docker build -f deploy/gateway.Dockerfile .
FROM python:3.11.15-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/radserve \
 && /opt/radserve/bin/pip install --no-cache-dir --disable-pip-version-check '.[server]'

FROM python:3.11.15-slim-bookworm
ENV PATH=/opt/radserve/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/radserve /opt/radserve
# A volume that is put here takes over whose it is.
RUN install -d -m 700 -o 10001 -g 10001 /audit
USER 10001:10001
EXPOSE 8000
# Ready means that the engine answers, too; a slow engine start is within the start period.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20m --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["python", "-m", "radserve_server"]
