# Builds three images: `service` (CPU), `service-gpu` (CUDA 13) and `trainer` (torch). Each image has one virtual
# environment and no compiler. Models are mounted, not copied into the image.
#   docker build --target service --tag vaekit-service .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

FROM base AS build
ARG PIP_ARGS=""
WORKDIR /build
COPY constraints.txt constraints-gpu.txt ./
RUN python -m venv /opt/vaekit && /opt/vaekit/bin/pip install --constraint constraints.txt pip setuptools
ENV PATH=/opt/vaekit/bin:$PATH
COPY pyproject.toml README.md LICENSE ./
COPY vaekit vaekit
COPY service service
COPY training training
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM build AS build-service
RUN pip install --constraint constraints.txt ${PIP_ARGS} "$(ls /wheels/*.whl)[cpu,service,arrow]" \
    && pip uninstall --yes setuptools pip

FROM build AS build-service-gpu
RUN pip install --constraint constraints.txt --constraint constraints-gpu.txt ${PIP_ARGS} "$(ls /wheels/*.whl)[gpu,service,arrow]" \
    && pip uninstall --yes setuptools pip

FROM build AS build-trainer
RUN pip install --constraint constraints.txt ${PIP_ARGS} "$(ls /wheels/*.whl)[cpu,training,scoring]"

FROM base AS run
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin vaekit
ENV PATH=/opt/vaekit/bin:$PATH HOME=/tmp USER=vaekit ORT_DISABLE_TELEMETRY=1
WORKDIR /workspace
USER 10001:10001

FROM run AS serve
ENV VAE_MODELS=/models VAE_HOST=0.0.0.0 VAE_PORT=8000
EXPOSE 8000
ENTRYPOINT ["vae"]
CMD ["serve"]

FROM run AS trainer
COPY --from=build-trainer /opt/vaekit /opt/vaekit
ENV MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["vae"]
CMD ["train", "--help"]

FROM serve AS service-gpu
COPY --from=build-service-gpu /opt/vaekit /opt/vaekit
ENV VAE_DEVICE=cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM serve AS service
COPY --from=build-service /opt/vaekit /opt/vaekit
ENV VAE_DEVICE=cpu
