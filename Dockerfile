# syntax=docker/dockerfile:1
# ASAE-JAX in a container, from its wheel. For research, not a diagnosis. How to build and use it: docs/docker.md.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
# jax: without a GPU; "jax[cuda13]" or "jax[cuda12]": NVIDIA GPUs.
ARG JAX=jax
COPY --from=wheel /wheels /wheels
RUN wheel="$(echo /wheels/*.whl)" && pip install --no-cache-dir "${wheel}[onnx,fields]" "${JAX}" && rm /wheels/*.whl
# Whoever runs it may be another user (--user): home, where libraries keep caches, is open to all.
RUN useradd --create-home --home-dir /home/asae asae && mkdir /home/asae/.cache && chmod 1777 /home/asae /home/asae/.cache \
    && mkdir /data && chown asae:asae /data
ENV HOME=/home/asae PYTHONUNBUFFERED=1
USER asae
# Images are read here, and runs are written to /data/runs.
WORKDIR /data
VOLUME /data
ENTRYPOINT ["asae"]
CMD ["--help"]
