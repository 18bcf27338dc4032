"""Small crates: folders cargo can package, and ``.crate`` files with index lines made without it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

SECTIONS = {"normal": "dependencies", "dev": "dev-dependencies", "build": "build-dependencies"}


@dataclass(frozen=True)
class Dep:
    """A dependency.

    Args:
        rename: what the code calls it, where that is not its name.
        when: the ``cfg`` under which the code uses it; a target's, or that an optional one is on, if nothing is said.
        macro: it is a procedural macro.
        registry: which registry of the settings it comes from, None the one the project's others come from.
    """

    name: str
    req: str = "1"
    features: tuple[str, ...] = ()
    optional: bool = False
    default_features: bool = True
    target: str | None = None
    kind: str = "normal"
    rename: str | None = None
    when: str | None = None
    macro: bool = False
    registry: str | None = None

    @property
    def alias(self) -> str:
        """Its key in Cargo.toml."""
        return self.rename or self.name

    @property
    def condition(self) -> str | None:
        """What stands in ``#[cfg()]`` before its use."""
        if self.when is not None:
            return self.when
        if self.optional:
            return f'feature = "{self.alias}"'
        return self.target.removeprefix("cfg(").removesuffix(")") if self.target else None

    @property
    def use(self) -> str:
        """An expression for its markers."""
        path = self.alias.replace("-", "_")
        return f"{path}::mark!().to_string()" if self.macro else f"{path}::marks()"

    def toml(self, registry: str | None, path: str | None) -> str:
        """Its line in Cargo.toml."""
        values = {
            "version": self.req,
            "package": self.name if self.rename else None,
            "registry": self.registry or registry,
            "path": path,
            "features": list(self.features) or None,
            "optional": self.optional or None,
            "default-features": None if self.default_features else False,
        }
        told = ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None)
        return f"{self.alias} = {{ {told} }}"

    def line(self) -> dict[str, Any]:
        """How an index line tells it."""
        return {
            "name": self.alias,
            "req": self.req if self.req[:1] in "=<>~*^" else f"^{self.req}",
            "features": list(self.features),
            "optional": self.optional,
            "default_features": self.default_features,
            "target": self.target,
            "kind": self.kind,
            "package": self.name if self.rename else None,
        }

    def told(self) -> dict[str, Any]:
        """How a publish tells it."""
        line = self.line()
        name, package = line.pop("name"), line.pop("package")
        made = {**line, "name": package or name, "version_req": line.pop("req"), "registry": None}
        return made | {"explicit_name_in_toml": name if package else None}


@dataclass(frozen=True)
class Crate:
    """One version of a crate. Its function ``marks`` gives its marker and those of what it uses, by spaces.

    Args:
        command: has a program of the crate's name, which prints the markers.
        macro: is a procedural macro.
        about: further lines of ``[package]``.
        lib: whether there is a library.
    """

    name: str
    version: str = "1.0.0"
    deps: tuple[Dep, ...] = ()
    features: Mapping[str, list[str]] = field(default_factory=dict)
    command: bool = False
    macro: bool = False
    lib: bool = True
    links: str | None = None
    rust_version: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def marker(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def filename(self) -> str:
        """The file's name in cargo's own folders."""
        return f"{self.name}-{self.version}.crate"

    # --- its folder ---

    def manifest(self, registry: str | None = None, paths: Mapping[str, str] | None = None) -> str:
        """Cargo.toml: ``registry`` is where dependencies come from (None: the public one), ``paths`` lie beside it."""
        about = {
            "name": self.name,
            "version": self.version,
            "edition": "2021",
            "license": "MIT",
            "description": "A sample",
        }
        about |= {"links": self.links} if self.links else {}
        about |= {"rust-version": self.rust_version} if self.rust_version else {}
        lines = ["[package]", *(f"{key} = {json.dumps(value)}" for key, value in (about | dict(self.about)).items())]
        lines += ["", "[lib]", "proc-macro = true"] if self.macro else []
        for dep in self.deps:
            section = SECTIONS[dep.kind]
            lines += ["", f"[target.{json.dumps(dep.target)}.{section}]" if dep.target else f"[{section}]"]
            lines += [dep.toml(registry, (paths or {}).get(dep.name))]
        lines += ["", "[features]", *(f"{json.dumps(key)} = {json.dumps(on)}" for key, on in self.features.items())]
        return "\n".join([*_gathered(lines), ""])

    def files(self, registry: str | None = None, paths: Mapping[str, str] | None = None) -> dict[str, bytes]:
        """What the crate holds, by path."""
        made = {"Cargo.toml": self.manifest(registry, paths), "README.md": f"# {self.name}\n\nGröße, 大きさ\n"}
        if self.lib:
            made["src/lib.rs"] = self._macro() if self.macro else self._library()
        if self.command:
            library = self.name.replace("-", "_")
            body = f'println!("{{}}", {library}::marks());' if self.lib else f'{self._body()} println!("{{}}", all);'
            made["src/main.rs"] = f"fn main() {{ {body} }}\n"
        if builders := [dep for dep in self.deps if dep.kind == "build"]:
            said = " ".join(f"all.push(' '); all.push_str(&{dep.use});" for dep in builders)
            made["build.rs"] = (
                f'fn main() {{ let mut all = String::new(); {said} println!("cargo:rustc-env=BUILT={{}}", all); }}\n'
            )
        elif self.links:
            made["build.rs"] = "fn main() {}\n"
        return {path: text.encode() for path, text in made.items()}

    def write(self, folder: Path, registry: str | None = None, paths: Mapping[str, str] | None = None) -> Path:
        """Lay the crate's files in a folder; returns it."""
        for path, body in self.files(registry, paths).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(body)
        return folder

    def _macro(self) -> str:
        return (
            "#[proc_macro]\npub fn mark(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n"
            f'    r#""{self.marker}""#.parse().unwrap()\n}}\n'
        )

    def _library(self) -> str:
        return f"#![allow(non_snake_case)]\npub fn marks() -> String {{ {self._body()} all }}\n"

    def _body(self) -> str:
        lines = [f'#[allow(unused_mut)] let mut all = String::from("{self.marker}");']
        for dep in self.deps:
            if dep.kind == "normal":
                before = f"#[cfg({dep.condition})] " if dep.condition else ""
                lines += [f"{before}{{ all.push(' '); all.push_str(&{dep.use}); }}"]
        if any(dep.kind == "build" for dep in self.deps):
            lines += ['all.push_str(env!("BUILT"));']
        return "\n    ".join(lines)

    # --- what a registry has of it ---

    @cached_property
    def packed(self) -> bytes:
        """The ``.crate``, the same bytes every time."""
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for path, body in sorted(self.files().items()):
                member = tarfile.TarInfo(f"{self.name}-{self.version}/{path}")
                member.size, member.mtime, member.mode = len(body), 1_153_704_088, 0o644
                archive.addfile(member, io.BytesIO(body))
        return gzip.compress(sink.getvalue(), 9, mtime=0)

    @property
    def digest(self) -> str:
        """SHA-256 in hex."""
        return hashlib.sha256(self.packed).hexdigest()

    def line(self, **more: Any) -> dict[str, Any]:
        """Its index line as a registry's: what older cargos do not know of features stands in ``features2``."""
        new = {key: on for key, on in self.features.items() if any("dep:" in each or "?/" in each for each in on)}
        old = {key: on for key, on in self.features.items() if key not in new}
        made: dict[str, Any] = {"name": self.name, "vers": self.version, "deps": [dep.line() for dep in self.deps]}
        made |= {"cksum": self.digest, "features": old, "yanked": False}
        made |= {"features2": new, "v": 2} if new else {}
        made |= {"links": self.links} if self.links else {}
        made |= {"rust_version": self.rust_version} if self.rust_version else {}
        return made | more

    def body(self) -> bytes:
        """What a publish sends: both parts with their lengths before them."""
        told: dict[str, Any] = {"name": self.name, "vers": self.version, "deps": [dep.told() for dep in self.deps]}
        told |= {"features": dict(self.features), "links": self.links, "rust_version": self.rust_version}
        text = json.dumps(told | {"description": "A sample", "license": "MIT", "authors": []}).encode()
        return b"".join(struct.pack("<I", len(part)) + part for part in (text, self.packed))


def _gathered(lines: list[str]) -> Iterator[str]:
    """The lines with what stands under one header brought together: TOML has a table once."""
    tables: dict[str, list[str]] = {}
    header = ""
    for line in filter(None, lines):
        if line.startswith("["):
            header = line
            tables.setdefault(header, [])
        else:
            tables[header].append(line)
    for header, held in tables.items():
        yield from ("", header, *held)


def app(*deps: Dep, name: str = "app", features: Mapping[str, list[str]] | None = None) -> Crate:
    """A program that prints the markers of what it uses."""
    return Crate(name, "0.0.0", deps, features or {}, command=True, lib=False)


def prefix(name: str) -> str:
    """The folders of an index file: ``1``, ``2``, ``3/a``, ``ab/cd``; in the case of the name."""
    return {1: "1", 2: "2", 3: f"3/{name[:1]}"}.get(len(name), f"{name[:2]}/{name[2:4]}")


def workspace(tag: str) -> list[Crate]:
    """Twelve crates that use each other in every way, in an order in which they can be published."""
    names = ["core", "Util", "macros", "unixy", "extra", "codegen", "model", "store", "net", "kit", "tests_kit", "cli"]
    core, util, macros, unixy, extra, codegen, model, store, net, kit, tests_kit, cli = (
        f"{tag}{'_' if each in ('Util', 'tests_kit') else '-'}{each}" for each in names
    )
    return [
        Crate(core, features={"std": [], "default": ["std"]}),
        Crate(util, deps=(Dep(core, default_features=False),)),
        Crate(macros, macro=True),
        Crate(unixy, deps=(Dep(core),), rust_version="1.60"),
        Crate(extra, "1.4.2", links=f"{tag}-native"),
        Crate(codegen, "0.3.0-beta.2", deps=(Dep(core, "1.0"),)),
        Crate(model, deps=(Dep(macros, macro=True), Dep(util, "~1.0", rename="helper"))),
        Crate(
            store,
            deps=(Dep(model), Dep(extra, ">=1.4, <2", optional=True, when='feature = "fast"')),
            features={"fast": [f"dep:{extra}"], "default": []},
        ),
        Crate(net, deps=(Dep(unixy, target="cfg(unix)"), Dep(extra, target="cfg(windows)"))),
        Crate(kit, deps=(Dep(store, features=("fast",)), Dep(codegen, "=0.3.0-beta.2", kind="build"))),
        Crate(
            tests_kit,
            deps=(Dep(kit), Dep(store, optional=True, when='feature = "stored"'), Dep(net, kind="dev")),
            features={"quick": [f"{store}?/fast"], "stored": [f"dep:{store}", "quick"]},
        ),
        Crate(cli, "1.0.0+build.7", deps=(Dep(kit), Dep(net), Dep(core, rename="base")), command=True),
    ]


def lay(crates: list[Crate], folder: Path, registry: str | None) -> Path:
    """Lay a workspace in a folder, each crate in a folder of its name; returns it."""
    paths = {crate.name: f"../{crate.name}" for crate in crates}
    for crate in crates:
        crate.write(folder / crate.name, registry, paths)
    members = json.dumps([crate.name for crate in crates])
    (folder / "Cargo.toml").write_text(f'[workspace]\nresolver = "2"\nmembers = {members}\n')
    return folder
