"""The compose file and the image: valid, without a default secret, and in step with the code that they run."""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import AliasChoices
from ruamel.yaml import YAML

from pipeline.settings import Settings
from saring.cli import app
from saring.services.label_studio_install import VERSION as LABEL_STUDIO_VERSION
from saring.workers.app import QUEUES
from saring.workers.heartbeat import VARIABLE as HEARTBEAT

_ROOT = Path(__file__).resolve().parents[2]
_FILE = _ROOT / "docker-compose.yml"
#: the networks that Label Studio 1.23 refuses to call by default, as its own list has them, but for loopback
_REFUSED_NETWORKS = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"),
    *("192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4"),
    *("233.252.0.0/24", "240.0.0.0/4", "255.255.255.255/32", "::/128", "::ffff:0:0/96", "::ffff:0:0:0/96"),
    *("64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001:0000::/32", "2001:20::/28", "2001:db8::/32", "2002::/16"),
    *("fc00::/7", "fe80::/10", "ff00::/8"),
)
#: run once and end
_ONCE = {"migrate"}
_SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY|AUTH")
#: variables with such a name that hold no secret
_SWITCHES = {"LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"}
#: ${NAME}, ${NAME:-default}, ${NAME:?message}; $$ is a dollar
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::?([-?+])([^}]*))?\}")


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(_FILE)
    return loaded


COMPOSE = compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def dockerfile() -> list[tuple[str, str]]:
    """The instructions of the image, with what they are given."""
    lines = [line for line in (_ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(words[0], words[1].strip()) for line in joined.splitlines() if len(words := line.split(None, 1)) == 2]


def only(instruction: str) -> str:
    """What the last of an instruction is given: it is the one that counts."""
    return [given for name, given in dockerfile() if name == instruction][-1]


def ours() -> list[str]:
    """The services that run Saring."""
    return [name for name, one in SERVICES.items() if str(one["image"]).startswith("saring")]


def variables(value: object) -> Iterator[tuple[str, str]]:
    """Every variable that a value takes from `.env`, with what stands in if it is not set."""
    if isinstance(value, dict):
        for one in value.values():
            yield from variables(one)
    elif isinstance(value, list):
        for one in value:
            yield from variables(one)
    elif isinstance(value, str):
        yield from ((name, f"{how}{instead}") for name, how, instead in _VARIABLE.findall(value))


def test_it_keeps_to_the_compose_specification() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [checker, "--builtin-schema", "vendor.compose-spec", _FILE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_secret_has_a_default() -> None:
    taken = dict(variables(COMPOSE))
    secrets = {name for name in taken if _SECRET.search(name)}
    assert secrets >= {"POSTGRES_PASSWORD", "VALKEY_PASSWORD", "LABEL_STUDIO_API_KEY", "SARING_BACKEND_PASSWORD"}
    assert {name: taken[name] for name in secrets if not taken[name].startswith("?")} == {}
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if _SECRET.search(name) and name not in _SWITCHES:
                assert _VARIABLE.fullmatch(value), f"{name} is written down"
            # an address may hold a password, which is a variable then
            for password in re.findall(r"//[^/:]*:(.*)@", _VARIABLE.sub("given", str(value))):
                assert password == "given", f"{name} holds a password"


def test_the_example_names_every_variable_and_no_value_of_a_secret() -> None:
    lines = (_ROOT / ".env.example").read_text().splitlines()
    shown = dict(line.lstrip("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_]+=", line))
    taken = dict(variables(COMPOSE))
    assert set(shown) == set(taken)
    assert {name for name, how in taken.items() if how.startswith("?")} == {
        line.removesuffix("=") for line in lines if re.fullmatch(r"[A-Z_]+=", line)
    } - {"LABEL_STUDIO_HOST"}
    assert {name: value for name, value in shown.items() if value and _SECRET.search(name)} == {}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - _ONCE))
def test_what_lasts_is_looked_after(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])
    assert service["stop_grace_period"]
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name: str) -> None:
    image = _VARIABLE.sub(lambda found: found[3], SERVICES[name]["image"])
    tag = image.rpartition(":")[2]
    assert re.search(r"\d+\.\d+", tag), image
    if name in ours():
        assert tag == only("ARG").removeprefix("VERSION=")
    if name == "label-studio":
        assert tag == LABEL_STUDIO_VERSION


def test_only_two_doors_are_open_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"label-studio", "ml_backend"}
    for [port] in published.values():
        assert _VARIABLE.sub(lambda found: found[3], port).startswith("127.0.0.1:")


@pytest.mark.parametrize("name", ours())
def test_its_settings_exist(name: str) -> None:
    aliases = [field.validation_alias for field in Settings.model_fields.values()]
    known = {f"SARING_{field}".upper() for field in Settings.model_fields} | {HEARTBEAT}
    known |= {
        one for alias in aliases if isinstance(alias, AliasChoices) for one in alias.choices if isinstance(one, str)
    }
    assert set(SERVICES[name]["environment"]) - known == set()


@pytest.mark.parametrize("name", ours())
def test_its_command_exists(name: str) -> None:
    assert json.loads(only("ENTRYPOINT")) == ["saring"]
    context = parsed(SERVICES[name]["command"])
    assert context.info_name == SERVICES[name]["command"][0]


def test_the_command_of_the_image_exists() -> None:
    context = parsed(json.loads(only("CMD")))
    assert (context.info_name, context.params["port"]) == ("serve", int(only("EXPOSE")))


def test_every_queue_has_a_worker() -> None:
    taken = {
        queue
        for service in SERVICES.values()
        if "worker" in (service.get("command") or ())
        for queue in parsed(service["command"]).params["queues"].split(",")
    }
    assert taken >= set(QUEUES)


def test_the_worker_on_a_card_is_asked_for() -> None:
    service = SERVICES["worker-gpu"]
    assert service["profiles"] == ["gpu"]
    [device] = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    extras = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert service["build"]["args"]["EXTRAS"] in extras


def test_everything_of_ours_waits_for_the_schema() -> None:
    for name in set(ours()) - _ONCE:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["command"] == ["init"]


def test_label_studio_may_call_the_backend_and_nothing_else_that_is_private() -> None:
    banned = SERVICES["label-studio"]["environment"]["LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS"].split(",")
    refused = {*_REFUSED_NETWORKS, "127.0.0.0/8", "::1/128"}
    assert set(banned) <= refused
    [open_network] = refused - set(banned)
    [pool] = COMPOSE["networks"]["front"]["ipam"]["config"]
    assert ipaddress.ip_network(pool["subnet"]).subnet_of(ipaddress.ip_network(open_network))  # type: ignore[arg-type]
    assert {name for name, service in SERVICES.items() if "front" in service["networks"]} == {
        "label-studio",
        "ml_backend",
    }
    [alias] = SERVICES["ml_backend"]["networks"]["front"]["aliases"]
    assert SERVICES["ml_backend"]["environment"]["SARING_BACKEND_URL"] == f"http://{alias}:{only('EXPOSE')}"


def test_volumes_networks_and_configs_are_declared() -> None:
    for kind in ("volumes", "networks"):
        used = {str(one).partition(":")[0] for service in SERVICES.values() for one in service.get(kind, ())}
        assert used == set(COMPOSE[kind])
    assert {one["source"] for service in SERVICES.values() for one in service.get("configs", ())} == set(
        COMPOSE["configs"]
    )


def test_the_image_is_made_in_two_stages_and_does_not_run_as_root() -> None:
    stages = [given.split()[-1] for name, given in dockerfile() if name == "FROM"]
    assert stages == ["builder", "runtime"]
    assert all("latest" not in given for name, given in dockerfile() if name == "FROM")
    user = only("USER").partition(":")[0]
    assert user.isdigit()
    assert int(user) > 0
    assert "SARING_HOME=/data" in only("ENV").split()
    assert only("HEALTHCHECK").count("/health") == 1
    assert not [given for name, given in dockerfile() if name in ("ARG", "ENV") and _SECRET.search(given)]


def test_the_image_keeps_to_the_usual_rules() -> None:
    """What linters of Dockerfiles ask for, as far as it can be read off the file."""
    names = [name for name, _ in dockerfile()]
    assert "ADD" not in names
    assert all(given.startswith("/") for name, given in dockerfile() if name == "WORKDIR")
    for name in ("ENTRYPOINT", "CMD"):
        assert isinstance(json.loads(only(name)), list), f"{name} would run in a shell, which keeps signals to itself"
    # the packages of the lock are a layer of their own, so that a change of the code installs none of them again
    steps = [given for name, given in dockerfile() if name in ("RUN", "COPY")]
    locked = next(i for i, given in enumerate(steps) if "--require-hashes" in given)
    assert locked < next(i for i, given in enumerate(steps) if given.startswith("saring "))
    # nothing runs as root once the user is set, and nothing is installed in the last stage
    assert "RUN" not in names[names.index("USER") :]
    last = dockerfile()[max(i for i, name in enumerate(names) if name == "FROM") :]
    assert not [given for name, given in last if name == "RUN" and re.search(r"\b(pip|apt-get|curl)\b", given)]
    # an argument that is declared is used, and one that is used is declared
    declared = {given.split("=")[0] for name, given in dockerfile() if name == "ARG"}
    used = {word for _, given in dockerfile() for word in re.findall(r"\$\{?([A-Z]+)\}?", given)}
    assert declared == used - {"PATH"}


def test_the_lock_of_the_image_is_for_its_python() -> None:
    """The lock has files of one Python; `make lock` is run on that of the image."""
    [python] = [
        given.partition("=")[2] for name, given in dockerfile() if name == "ARG" and given.startswith("PYTHON=")
    ]
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={python}"


def test_what_goes_into_the_image_exists_and_is_let_in() -> None:
    let_in = {line[1:] for line in (_ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [shlex.split(given) for name, given in dockerfile() if name == "COPY" and not given.startswith("--from")]
    sources = {source for words in copied for source in words[:-1]}
    assert sources == let_in
    assert all((_ROOT / source).exists() for source in sources)
    packages = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(packages["packages"]) <= sources


def test_the_manifests_in_the_documentation_run_commands_that_exist() -> None:
    page = (_ROOT / "docs" / "operations.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    documents = [document for block in blocks for document in YAML(typ="safe").load_all(block)]
    pods = [one["spec"]["template"]["spec"] for one in documents if "template" in one.get("spec", {})]
    commands = [container["args"] for pod in pods for container in pod["containers"]]
    assert [parsed(one).info_name for one in commands] == ["init", "serve", "worker"]


def parsed(arguments: list[str]) -> Any:
    """The context of a command with those arguments, as it would be run.

    Raises:
        UsageError: there is no such command, or it does not take them.
    """
    # Typer brings a click of its own, which no type here knows
    group: Any = typer.main.get_command(app)
    name, *rest = arguments
    top = group.make_context("saring", [name])
    command = group.get_command(top, name)
    assert command is not None, f"there is no `saring {name}`"
    return command.make_context(name, rest, parent=top)
