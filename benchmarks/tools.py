"""Programs from the package index, each in an environment of its own beside ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOOLS = Path(sys.prefix) / "tools"


def provide(name: str, *packages: str) -> Path | None:
    """The folder with the commands of ``packages``, installed when first asked for; None when they cannot be."""
    home = TOOLS / f"bench-{name}"
    done, wanted = home / "done", " ".join(packages)
    if done.is_file() and done.read_text() == wanted:
        return home / "bin"
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages],
    )
    for step in steps:
        try:
            subprocess.run(step, check=True, timeout=300, stdout=sys.stderr)
        except (OSError, subprocess.SubprocessError):
            return None
    done.write_text(wanted)
    return home / "bin"


def environment(home: Path, **more: str) -> dict[str, str]:
    """Variables of a program that is to find no settings of its own: its home is ``home``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "TWINE_"))}
    if "PIP_CERT" in os.environ:
        kept.setdefault("SSL_CERT_FILE", os.environ["PIP_CERT"])
        kept["PIP_CERT"] = os.environ["PIP_CERT"]
    own = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_NO_CONFIG": "1"}
    return kept | own | more
