# Partwise on the CPU, with its weights, as a user without rights:
#   docker build -t partwise .
#   docker run --rm -v "$PWD:/data" partwise run video.mp4 --out parse.json
# Python and system libraries are Debian's of the base image; everything else is of requirements.lock, by hash.

FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/partwise
ENV PATH=/opt/partwise/bin:$PATH
COPY requirements.lock /source/
RUN pip install --no-cache-dir --require-hashes --only-binary :all: --no-deps -r /source/requirements.lock
COPY pyproject.toml README.md LICENSE /source/
COPY configs /source/configs
COPY parsing /source/parsing
COPY detectors /source/detectors
COPY recognizers /source/recognizers
COPY pipelines /source/pipelines
RUN pip install --no-cache-dir --no-deps --no-build-isolation /source

FROM python:3.11-slim-bookworm
# What OpenCV's wheel links to.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends -y libgl1 libglib2.0-0 libxcb1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --home-dir /cache --no-create-home partwise \
    && mkdir --mode 1777 /cache
COPY --from=build /opt/partwise /opt/partwise
# Graphs that were exported are kept in /cache, the home of whatever user runs; a volume there keeps them between runs.
ENV PATH=/opt/partwise/bin:$PATH HOME=/cache
USER 1000
WORKDIR /data
ENTRYPOINT ["partwise"]
CMD ["--help"]
