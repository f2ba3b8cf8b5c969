# The viewer: OHIF with radserve's panel, before an archive and a gateway. npm is needed only here, for fetching OHIF.
# Build from the repository's root: docker build -f deploy/viewer.Dockerfile .
FROM python:3.11.15-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends npm
WORKDIR /src
COPY . .
RUN python -m venv /opt/radserve \
 && /opt/radserve/bin/pip install --no-cache-dir --disable-pip-version-check '.[server]' \
 && /opt/radserve/bin/radserve ohif --fetch --viewer /opt/ohif

FROM python:3.11.15-slim-bookworm
ENV PATH=/opt/radserve/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/radserve /opt/radserve
COPY --from=build /opt/ohif /opt/ohif
USER 10001:10001
EXPOSE 3000
# Healthy means that it answers, be it that a login is missing.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 3000, timeout=4); c.request('GET', '/radserve/config.json'); raise SystemExit(c.getresponse().status >= 500)"]
# Options beside these follow: radserve ohif --help
ENTRYPOINT ["radserve", "ohif", "--viewer", "/opt/ohif"]
