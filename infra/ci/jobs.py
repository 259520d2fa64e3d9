"""What the jobs of a pipeline run, as scripts for bash: the same for every provider and cloud. What
a provider says of a pull request or a token comes in environment variables, never in the text."""

from __future__ import annotations

import shlex

from onnxferry.infra.ci.delivery import DeliveryPipeline

PLAN = "plan.md"
BUILD = "build"  # what the first job made: the model directory, the package, the rehearsal's record
_LIMIT = 60_000  # bytes of a plan that are shown: comments and summaries hold a little more


def script(*lines: str) -> str:
    """A script that ends at the first failure."""
    return "\n".join(("set -euo pipefail", *lines)) + "\n"


def install(pipeline: DeliveryPipeline, *, build: bool) -> str:
    """Install this project: all of it to `build`, what talks to the cloud otherwise."""
    what = pipeline.installs[0 if build else 1]
    return script(f"python -m pip install --quiet {shlex.quote(what)}")


def package(pipeline: DeliveryPipeline) -> str:
    """Prepare the model, where the pipeline does, and build its package: a model that is not within
    the gate of [model] ends the run."""
    model = [] if pipeline.prepares else ["--model", pipeline.model]
    return script(_command("package", pipeline, *model, *_image(pipeline)))


def rehearse(pipeline: DeliveryPipeline) -> str:
    """Serve the package by the platform's own runtime."""
    model = ("--model", pipeline.model)
    return script(_command("rehearse", pipeline, *model, *_image(pipeline)))


def plan(pipeline: DeliveryPipeline, *show: str) -> str:
    """Write what `deploy` would do to PLAN, and `show` it."""
    planned = _command("plan", pipeline, "--name", pipeline.name, "--model", pipeline.model)
    title = f"### Plan: {pipeline.name} on {pipeline.target}"
    parts = (f"echo {shlex.quote(mark(pipeline))}", f"echo {shlex.quote(title)}", "echo '~~~text'")
    text = "; ".join((*parts, f"head -c {_LIMIT} plan.txt", "echo", "echo '~~~'"))
    return script(f"{planned} > plan.txt", f"{{ {text}; }} > {PLAN}", *show)


def deploy(pipeline: DeliveryPipeline) -> str:
    """Deploy what was built, which shows what is live then."""
    named = ("--name", pipeline.name, "--model", pipeline.model)
    return script(_command("deploy", pipeline, *named, "--yes"))


def roll_back(pipeline: DeliveryPipeline) -> str:
    """Put the version before back."""
    return script(_command("rollback", pipeline, "--name", pipeline.name, "--yes"))


def mark(pipeline: DeliveryPipeline) -> str:
    """How the comment with this pipeline's plan begins: by it the next run finds and renews it."""
    return f"<!-- onnxferry: {pipeline.name} on {pipeline.target} -->"


def _command(action: str, pipeline: DeliveryPipeline, *more: str) -> str:
    own = ("--target", pipeline.target, "--config", pipeline.config, "--python", pipeline.python)
    return shlex.join(("onnxferry", action, *own, *more))


def _image(pipeline: DeliveryPipeline) -> tuple[str, ...]:
    return ("--image", pipeline.image) if pipeline.image else ()
