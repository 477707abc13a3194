"""Deploys Pullwright's server at Modal, with its sandboxes there too.

    modal secret create pullwright ANTHROPIC_API_KEY=… GITHUB_TOKEN=… MODAL_TOKEN_ID=… MODAL_TOKEN_SECRET=…
    modal deploy examples/deploy_modal.py

The secret holds what `plugins.toml` names: the model's key, the forge's token, and a token of Modal's for the
sandboxes. The endpoint lets in only who shows a proxy token of the workspace (`modal workspace proxy-tokens create` makes one):

    export MODAL_KEY=wk-… MODAL_SECRET=ws-…
    pullwright probe https://…modal.run --repo https://github.com/owner/repo --prompt "…" \
        --header Modal-Key=MODAL_KEY --header Modal-Secret=MODAL_SECRET
A container that is replaced takes the records of its sandboxes along: those end once nothing runs in them
(`idle_timeout_min`).
"""

import pathlib
import subprocess

import modal

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIG = "/etc/pullwright/plugins.toml"

# Pullwright listens on its own machine only; Modal's proxy comes from outside.
INSIDE, OUTSIDE = 8080, 8000

app = modal.App("pullwright-server")
image = (
    modal.Image.from_dockerfile(ROOT / "Dockerfile", context_dir=ROOT, add_python="3.12")
    # Volumes belong to root here.
    .dockerfile_commands("USER root")
    .add_local_file(ROOT / "examples" / "deploy_modal.toml", CONFIG)
)


@app.function(
    image=image,
    secrets=[modal.Secret.from_name("pullwright")],
    # The mirrors of repositories, so that a new container does not fetch everything again.
    volumes={"/var/lib/pullwright/mirrors": modal.Volume.from_name("pullwright-mirrors", create_if_missing=True)},
    cpu=1,
    memory=2048,
    # One server owns its runs; it may live for a day, and stays for as long as a run takes.
    max_containers=1,
    timeout=24 * 3600,
    scaledown_window=1200,
)
@modal.concurrent(max_inputs=100)
@modal.web_server(OUTSIDE, startup_timeout=120, requires_proxy_auth=True)
def serve():
    subprocess.Popen(["pullwright", "serve", "--config", CONFIG, "--listen", f"127.0.0.1:{INSIDE}"])
    subprocess.Popen(["socat", f"TCP-LISTEN:{OUTSIDE},fork,reuseaddr", f"TCP:127.0.0.1:{INSIDE}"])
