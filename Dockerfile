# Builds three images: `service` (CPU), `service-gpu` (CUDA 13) and `trainer` (torch). Each image has one virtual
# environment and no compiler. Models are mounted, not copied into the image. The two services install only files whose
# hashes are in deploy/locks, and list them in /opt/vaekit/sbom.cdx.json (CycloneDX). The trainer does neither, since
# PIP_ARGS chooses its build of torch.
#   docker build --target service --tag vaekit-service .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

FROM base AS build
WORKDIR /build
COPY deploy/locks/build.txt deploy/locks/
RUN python -m venv /opt/vaekit && /opt/vaekit/bin/pip install --require-hashes --requirement deploy/locks/build.txt
ENV PATH=/opt/vaekit/bin:$PATH

FROM build AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY vaekit vaekit
COPY service service
COPY training training
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM base AS sbom
WORKDIR /build
COPY deploy/locks/tools.txt deploy/locks/
RUN python -m venv /opt/tools && /opt/tools/bin/pip install --require-hashes --requirement deploy/locks/tools.txt

FROM base AS run
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin vaekit
ENV PATH=/opt/vaekit/bin:$PATH HOME=/tmp USER=vaekit ORT_DISABLE_TELEMETRY=1
WORKDIR /workspace
USER 10001:10001
LABEL org.opencontainers.image.title=vaekit org.opencontainers.image.version=0.1.0 \
    org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause AND MIT"

FROM run AS serve
ENV VAE_MODELS=/models VAE_HOST=0.0.0.0 VAE_PORT=8000
EXPOSE 8000
ENTRYPOINT ["vae"]
CMD ["serve"]

FROM build AS build-service
COPY deploy/locks/service.txt deploy/locks/
RUN pip install --require-hashes --requirement deploy/locks/service.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps --no-index /wheels/*.whl && pip check && pip uninstall --yes setuptools pip

FROM sbom AS sbom-service
COPY --from=build-service /opt/vaekit /opt/vaekit
RUN /opt/tools/bin/cyclonedx-py environment --output-reproducible --output-file /opt/vaekit/sbom.cdx.json /opt/vaekit/bin/python

FROM serve AS service
COPY --from=sbom-service /opt/vaekit /opt/vaekit
ENV VAE_DEVICE=cpu

FROM build AS build-service-gpu
COPY deploy/locks/service-gpu.txt deploy/locks/
RUN pip install --require-hashes --requirement deploy/locks/service-gpu.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps --no-index /wheels/*.whl && pip check && pip uninstall --yes setuptools pip

FROM sbom AS sbom-service-gpu
COPY --from=build-service-gpu /opt/vaekit /opt/vaekit
RUN /opt/tools/bin/cyclonedx-py environment --output-reproducible --output-file /opt/vaekit/sbom.cdx.json /opt/vaekit/bin/python

FROM serve AS service-gpu
COPY --from=sbom-service-gpu /opt/vaekit /opt/vaekit
ENV VAE_DEVICE=cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM build AS build-trainer
ARG PIP_ARGS=""
COPY constraints.txt ./
COPY --from=wheel /wheels /wheels
RUN pip install --constraint constraints.txt ${PIP_ARGS} "$(ls /wheels/*.whl)[cpu,training,scoring]"

FROM run AS trainer
COPY --from=build-trainer /opt/vaekit /opt/vaekit
ENV MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["vae"]
CMD ["train", "--help"]
