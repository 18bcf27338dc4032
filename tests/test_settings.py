"""Settings: their order, their strictness, their secrets, and that all of them are written down."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from reliquary.settings import (
    GrantDeclaration,
    RepositoryDeclaration,
    RuleDeclaration,
    Settings,
    UpstreamDeclaration,
    UserDeclaration,
    WrongSettings,
    load,
)

DOCS = Path(__file__).parent.parent / "docs" / "settings.md"


def write(folder: Path, text: str) -> Path:
    path = folder / "reliquary.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_a_running_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELIQUARY_PORT", "1")
    settings = load(None, {})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.upload_limit) == ("127.0.0.1", 8080, 5 * 2**30)
    assert settings.database == f"sqlite:///{Path('var/reliquary.db').absolute()}"
    with pytest.raises(ValidationError):
        settings.port = 1


def test_later_places_win(tmp_path: Path) -> None:
    path = write(tmp_path, 'port = 1\nhost = "a"\nretries = 2\n[upstreams]\npypi = "none"\nnpm = "none"\n')
    environ = {"RELIQUARY_HOST": "b", "RELIQUARY_RETRIES": "3", "RELIQUARY_UPSTREAMS__NPM": "https://npm.example"}
    settings = load(path, environ, retries=4, data=None)
    assert (settings.port, settings.host, settings.retries, settings.data) == (1, "b", 4, Path("var"))
    assert settings.upstreams["pypi"] == ()
    assert [each.url for each in settings.upstreams["npm"]] == ["https://npm.example/"]
    assert load(None, {"RELIQUARY_CONFIG": str(path)}).port == 1


def test_environment_values_of_every_shape() -> None:
    settings = load(
        None,
        {
            "HOME": "/root",
            "RELIQUARY_TRUSTED_PROXIES": "10.1.2.3/8, ::1",
            "RELIQUARY_ALLOWED_HOSTS": "a.example,b.example",
            "RELIQUARY_UPLOAD_LIMIT": "2 MiB",
            "RELIQUARY_OFFLINE": "true",
            "RELIQUARY_PUBLIC_URL": "https://packages.example/reliquary",
            "RELIQUARY_REPOSITORIES": '[{"format": "pypi", "name": "team", "kind": "hosted", "overwrite": true}]',
        },
    )
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert settings.allowed_hosts == ("a.example", "b.example")
    assert (settings.upload_limit, settings.offline) == (2 * 2**20, True)
    assert settings.public_url == "https://packages.example/reliquary/"
    assert settings.repositories[0].options == {"overwrite": True}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot = 1", "prot is no known setting; did you mean port?"),
        ('[[users]]\nname = "a"\nadmins = true', "users.1.admins is no known setting; did you mean admin?"),
        ('[[repositories]]\nformat="f"\nname="n"\nkind="proxy"\nmember=[]', "did you mean members?"),
        ('[upstreams]\nf = [{url = "https://h.example", passwd = "x"}]', "did you mean password?"),
        ('[[repositories]]\nformat="f"\nname="n"\nkind="group"\nrules=[{verdikt="deny"}]', "did you mean verdict?"),
        ("port = 70000", "port: "),
        ("page_life = 601", "page_life: "),
        ("reserve = -1", "reserve: "),
        ('trusted_proxies = ["*"]', "trusted_proxies"),
        ('upstreams = {f = "ftp://h.example"}', "must be an http or https address"),
        ('tls_cert = "x"', "tls_cert and tls_key belong together"),
        ('public_url = "https://u:p@h.example"', "public_url: must carry no user name"),
        ('[[users]]\nname = "a"\n[[users]]\nname = "a"', "declared twice: a"),
        ('[[repositories]]\nformat="f"\nname="n"\nkind="hosted"\nupstream="none"', "f/n is no proxy"),
        ('[[repositories]]\nformat="f"\nname="n"\nkind="hosted"\nmembers=["a"]', "f/n is no group"),
        ('[[repositories]]\nformat="f"\nname="n"\nkind="group"\npublish_to="a"', "publish_to must be one of"),
        ("port = ", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(WrongSettings) as caught:
        load(path, {})
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_wrong_variable_or_flag_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongSettings, match=r"RELIQUARY_PROT is no known setting; did you mean RELIQUARY_PORT\?"):
        load(None, {"RELIQUARY_PROT": "1"})
    with pytest.raises(WrongSettings, match="the environment: port"):
        load(write(tmp_path, "retries = 2"), {"RELIQUARY_PORT": "x"})
    with pytest.raises(WrongSettings, match="the command line: port"):
        load(None, {"RELIQUARY_PORT": "1"}, port="x")
    with pytest.raises(WrongSettings, match="cannot be read"):
        load(tmp_path / "missing.toml", {})


def test_secrets_come_from_files_and_are_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter22\n", encoding="utf-8")
    path = write(
        tmp_path,
        f'database_url_file = "{secret}"\n'
        f'[upstreams]\npypi = [{{url = "https://h.example", password_file = "{secret}"}}, "https://u:p%40w@i.example/s"]\n'
        f'[[users]]\nname = "a"\npassword_file = "{secret}"\n',
    )
    settings = load(path, {})
    first, second = settings.upstreams["pypi"]
    assert settings.database == "hunter22"
    assert settings.users[0].password == first.password == SecretStr("hunter22")
    assert (second.url, second.username, second.password) == ("https://i.example/s/", "u", SecretStr("p@w"))
    assert "hunter22" not in repr(settings)
    assert "p@w" not in repr(settings)
    assert load(None, {"RELIQUARY_DATABASE_URL_FILE": str(secret)}).database == "hunter22"


def test_secrets_are_not_in_messages(tmp_path: Path) -> None:
    for text in (
        '[[users]]\nname = "a"\npassword = ["hunter22"]',
        'upstreams = {f = "ftp://u:hunter22@h.example"}',
        '[[users]]\nname = "a"\npassword = "hunter22"\npassword_file = "x"',
        '[[users]]\nname = "a"\npassword_file = "missing"',
        'database_url = ["hunter22"]',
    ):
        with pytest.raises(WrongSettings) as caught:
            load(write(tmp_path, text), {})
        assert "hunter22" not in str(caught.value)


def rows(text: str) -> dict[str, str]:
    """The first cell of each table row to the whole row, the first of each name."""
    found: dict[str, str] = {}
    for match in re.finditer(r"^\| `(\w+)` \|.*$", text, re.MULTILINE):
        found.setdefault(match[1], match[0])
    return found


def test_every_setting_is_documented() -> None:
    documented = rows(DOCS.read_text(encoding="utf-8"))
    models: tuple[type[BaseModel], ...] = (
        Settings,
        UpstreamDeclaration,
        RepositoryDeclaration,
        RuleDeclaration,
        UserDeclaration,
        GrantDeclaration,
    )
    for model in models:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} has no description"
            assert name in documented, f"{name} is not in docs/settings.md"
    assert set(documented) == {name for model in models for name in model.model_fields}
    for name in Settings.model_fields:
        assert f"`RELIQUARY_{name.upper()}`" in documented[name]


@pytest.mark.parametrize("name", ["port", "page_life", "retries", "gc_grace", "log_level", "host"])
def test_documented_defaults_are_the_defaults(name: str) -> None:
    default = rows(DOCS.read_text(encoding="utf-8"))[name].split("|")[2].strip(" `")
    assert default == str(Settings.model_fields[name].default)


def test_documented_examples_load(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    text = "\n".join(blocks).replace('password_file = "/run/secrets/', 'password = "')
    settings = load(write(tmp_path, text), {})
    assert len(settings.repositories) == len(tomllib.loads(text)["repositories"]) == 3
    assert [each.url for each in settings.upstreams["cargo"]] == ["https://first.example/", "https://second.example/"]
