"""`uda env`: a block of versions and hardware to paste into a bug report.

It holds no user name and no path of the home folder.
"""

from __future__ import annotations

from typing import Any

import click


@click.command(name="env")
def command() -> None:
    """Print versions and hardware for a bug report."""
    from uda.run.environment import describe_environment

    lines = report_lines(describe_environment())
    click.echo("\n".join(["```text", *lines, "```"]))


def report_lines(facts: dict[str, Any]) -> list[str]:
    """Return aligned ``name  value`` lines."""
    system, compute = facts["system"], facts["compute"]
    pairs = [("uda", facts["uda"]), ("python", facts["python"])]
    pairs += [
        (name, version or "not installed")
        for name, version in facts["packages"].items()
    ]
    pairs += [
        ("os", f"{system['os']} {system['machine']}"),
        ("cpu", f"{system['cpu']}, {system['cpus_usable']} of {system['cpus']} usable"),
        ("memory", f"{system['memory_gib'] or 'unknown'} GiB"),
        ("threads", f"{compute['threads']} in torch{_limit(compute)}"),
        ("gpu", "; ".join(compute["gpus"]) or "none"),
        ("cuda", compute["cuda"] or "none"),
        ("git", _git(facts["git"])),
    ]
    return [f"{name:<13}{value}" for name, value in pairs]


def _limit(compute: dict[str, Any]) -> str:
    limit = compute["OMP_NUM_THREADS"]
    return f" (OMP_NUM_THREADS={limit})" if limit else ""


def _git(state: dict[str, Any] | None) -> str:
    if state is None:
        return "installed package, no checkout"
    return f"{state['commit'][:12]}{' with local changes' if state['changed'] else ''}"
