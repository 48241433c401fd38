# The service, without a compiler, a build tool or root.
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/assent && python -m venv /opt/build
WORKDIR /source
# Dependencies first: they change less often than the code, and each is checked against its hash.
COPY requirements/ requirements/
RUN /opt/assent/bin/pip install --require-hashes --no-deps --only-binary :all: -r requirements/server.txt \
 && /opt/build/bin/pip install --require-hashes --no-deps --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY alembic/ alembic/
COPY approvals/ approvals/
COPY web/ web/
COPY integrations/ integrations/
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
 && /opt/assent/bin/pip install --no-deps --no-index /wheels/*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/assent --shell /usr/sbin/nologin assent \
 && install -d -o assent -g assent -m 0700 /var/lib/assent
COPY --from=build /opt/assent /opt/assent
ENV PATH=/opt/assent/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ASSENT_HOME=/var/lib/assent \
    ASSENT_HOST=0.0.0.0
USER assent
WORKDIR /var/lib/assent
# Signing keys live here, and the database when it is SQLite: back it up, and never share it.
VOLUME /var/lib/assent
EXPOSE 8420
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8420/readyz', timeout=2)"]
ENTRYPOINT ["assent"]
CMD ["serve"]
