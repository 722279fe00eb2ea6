# Two stages: the first makes a virtual environment from the locked, hashed requirements; the second holds it
# and Python, and nothing to install or compile with.
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/twinops
COPY requirements/runtime.txt requirements/runtime.txt
RUN /opt/twinops/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
# The build backend is the one thing that is fetched unhashed, and it stays in this stage.
RUN /opt/twinops/bin/pip install --no-cache-dir --no-deps . \
 && /opt/twinops/bin/python -m compileall -q /opt/twinops/lib

FROM python:3.12-slim
COPY --from=build /opt/twinops /opt/twinops
ENV PATH=/opt/twinops/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Any number will do that no host account has; the chart asks for the same one.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["twinops"]
CMD ["run"]
