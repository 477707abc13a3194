# Pullwright's server, as one static executable on a small image, run by a user without rights.
#
#   docker build -t pullwright .
#
# examples/deployment/compose.yaml shows it with a database, a second server and a proxy.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# What `GET /v1/version` says it was built from: --build-arg PULLWRIGHT_COMMIT="$(git rev-parse HEAD)"
ARG PULLWRIGHT_COMMIT
RUN RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --target "$(rustc --print host-tuple)" \
 && cp target/*/release/pullwright /pullwright

FROM debian:12-slim
# The server runs git; socat passes connections on where a platform wants to reach it from outside.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git socat \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --home-dir /var/lib/pullwright --shell /usr/sbin/nologin pullwright \
 && install --directory --owner=10001 --group=10001 --mode=0711 /var/lib/pullwright \
 && install --directory --owner=10001 --group=10001 --mode=0700 /srv/pullwright
COPY --from=build /pullwright /usr/local/bin/pullwright
# By number, so that platforms see that it is not root.
USER 10001:10001
WORKDIR /var/lib/pullwright
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["pullwright", "health"]
ENTRYPOINT []
CMD ["pullwright", "serve", "--config", "/etc/pullwright/plugins.toml"]
