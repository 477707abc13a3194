# Pullwright's server, as one static executable on a small image.
#
#   docker build -t pullwright .

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --target "$(rustc --print host-tuple)" \
 && cp target/*/release/pullwright /pullwright

FROM debian:12-slim
# The server runs git; socat passes connections on where a platform wants to reach it from outside.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git socat \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /pullwright /usr/local/bin/pullwright
ENTRYPOINT []
CMD ["pullwright", "serve", "--config", "/etc/pullwright/plugins.toml"]
