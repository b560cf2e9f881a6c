# docker build -t lightllm .
# docker run -it --gpus all -p 8080:8080 --shm-size 1g -v /path/of/models:/data lightllm /bin/bash
FROM swift:6.2-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends libopenmpi-dev libpcre2-dev libpng-dev \
        libturbojpeg0-dev libwebp-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /lightllm
COPY . .
RUN swift build -c release --product lightllm --static-swift-stdlib \
    && strip --strip-debug -o /usr/local/bin/lightllm .build/release/lightllm

FROM debian:bookworm-slim
# Libraries of the server, and Python, for `python -m lightllm.server.api_server` (which only starts it) and for the
# package that carries the compiler of CUDA kernels.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates libgcc-s1 libpcre2-8-0 libpng16-16 libstdc++6 libturbojpeg0 libwebp7 \
        openmpi-bin openssh-client python-is-python3 python3-pip zlib1g \
    && pip install --no-cache-dir --target /usr/local/lib/nvrtc nvidia-cuda-nvrtc-cu12 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/lightllm /usr/local/bin/lightllm
COPY python /lightllm/python
COPY tools /lightllm/tools
COPY test /lightllm/test
ENV PYTHONPATH=/lightllm/python LIGHTLLM_CUDA_LIB=/usr/local/lib/nvrtc/nvidia/cuda_nvrtc/lib
WORKDIR /lightllm
EXPOSE 8080
CMD ["lightllm", "serve", "--help"]
