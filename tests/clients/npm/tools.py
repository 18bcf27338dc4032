"""The real JavaScript clients: installed once by the machine's own npm, run in a home of their own."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.clients import tools
from tests.clients.tools import TOOLS, absent, carried_out, command, locked

MACHINE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x64"

REQUIREMENTS: Mapping[str, str] = {
    "node": f"node-linux-{MACHINE}@24",  # the newest npm asks for more than long-lived distributions have
    "npm": "npm@12",
    "npm11": "npm@11",
    "pnpm": "pnpm@12",
    "pnpm10": "pnpm@10",
    "yarn1": "yarn@1",
    "yarn": "@yarnpkg/cli-dist@4",
    "bun": "bun@1",
}

ENTRIES: Mapping[str, str] = {
    "node": f"node-linux-{MACHINE}/bin/node",
    "npm": "npm/bin/npm-cli.js",
    "npm11": "npm/bin/npm-cli.js",
    "pnpm": f"@pnpm/exe.linux-{MACHINE}/pnpm",
    "pnpm10": "pnpm/bin/pnpm.cjs",
    "yarn1": "yarn/bin/yarn.js",
    "yarn": "@yarnpkg/cli-dist/bin/yarn.js",
    "bun": f"@oven/bun-linux-{'aarch64' if MACHINE == 'arm64' else 'x64'}/bin/bun",
}
"""What is run, below ``node_modules``: native clients by their binary, since no install script has run."""


@dataclass(frozen=True)
class Home(tools.Home):
    """A home folder where a JavaScript client finds no settings but those of the test."""

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a client: node of the tests first, no way out of loopback."""
        places = {
            "npm_config_cache": "cache/npm",
            "PNPM_HOME": "data/pnpm",
            "YARN_CACHE_FOLDER": "cache/yarn",
            "YARN_GLOBAL_FOLDER": "data/yarn",
            "BUN_INSTALL": "data/bun",
            "BUN_INSTALL_CACHE_DIR": "cache/bun",
        }
        # A client that forgets its settings must not reach its public registry.
        walls = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
        walls |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        # Underscored names reach npm and pnpm 10; the others are switches of one client each.
        switches = {
            "npm_config_globalconfig": os.devnull,
            "npm_config_update_notifier": "false",
            "npm_config_fund": "false",
            "npm_config_audit": "false",
            "npm_config_fetch_retries": "0",
            "npm_config_browser": "false",
            "PNPM_CONFIG_MINIMUM_RELEASE_AGE": "0",
            "PNPM_CONFIG_FETCH_RETRIES": "0",
            "BUN_CONFIG_HTTP_RETRY_COUNT": "0",
            "PNPM_CONFIG_UPDATE_NOTIFIER": "false",
            "COREPACK_ENABLE_STRICT": "0",
            "YARN_ENABLE_TELEMETRY": "0",
            "YARN_IGNORE_PATH": "1",
            "DO_NOT_TRACK": "1",
        }
        own = {name: str(self.path / place) for name, place in places.items()}
        made = super().environment(own | walls | switches | dict(more or {}))
        return made | {"PATH": f"{entry('node').parent}{os.pathsep}{made['PATH']}"}


def entry(name: str) -> Path:
    """What runs a client, installed when it is first asked for."""
    with locked(TOOLS / "lock"):
        problem = _provide(name)
    if problem:
        absent(f"{name} cannot be installed: {problem}")
    return _place(name)


def start(name: str) -> tuple[Path, ...]:
    """The words a client's command line begins with."""
    path = entry(name)
    return (entry("node"), path) if path.suffix in (".js", ".cjs") else (path,)


def _place(name: str) -> Path:
    return TOOLS / f"{name}-js" / "node_modules" / ENTRIES[name]


def _provide(name: str) -> str | None:
    """Install a client where it is not yet; what went wrong, or None."""
    home = TOOLS / f"{name}-js"
    ready, wanted = home / "ready", REQUIREMENTS[name]
    if ready.is_file() and ready.read_text() == wanted:
        return None
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    # The machine's own npm with the machine's own settings: they alone know where packages come from.
    quiet = ["--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
    problem = carried_out([[str(command("npm")), "install", *quiet, "--prefix", str(home), wanted]], os.environ)
    if problem is None and not _place(name).is_file():
        problem = f"{wanted} has no {ENTRIES[name]}"
    if problem is None:
        _place(name).chmod(0o755)
        ready.write_text(wanted)
    return problem
