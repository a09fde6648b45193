# The app with its bundled logs. No image was built of this file yet: it is untested.
#
#     docker build -t trajectory-workbench --build-arg TORCH_INDEX=INDEX .
#     docker run --rm -p 127.0.0.1:8501:8501 trajectory-workbench
#     docker run --rm -p 127.0.0.1:8501:8501 -v "$PWD:/logs:ro" trajectory-workbench /logs/my.jsonl
#
# INDEX is that of torch's CPU builds, as pytorch.org names it: the app needs no GPU. Without it the
# image holds the build with CUDA. Whoever can reach the port can read the logs, so it is
# published on this machine alone.
FROM python:3.11-slim

WORKDIR /src
COPY . .
ARG TORCH_INDEX=""
RUN PIP_EXTRA_INDEX_URL="$TORCH_INDEX" pip install --no-cache-dir -c constraints.txt ".[offline]" \
    && rm -rf /src

RUN useradd --create-home workbench
USER workbench
WORKDIR /home/workbench
EXPOSE 8501
ENTRYPOINT ["workbench", "app", "--headless", "--address", "0.0.0.0"]
CMD ["household"]
