"""`sallyport policy check` and `show` see a policy set as the PDP does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sallyport.cli import shipped
from sallyport.pep import hosting, settings
from sallyport.pep.tools import NAMES
from sallyport.runtime import strict_json
from tests.support.laptop import here, init


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    copy = tmp_path / "mine"
    shutil.copytree(shipped.find(), copy)
    return copy


def test_what_init_wrote_would_serve(tmp_path: Path) -> None:
    made = init(tmp_path / "laptop")
    for place in (made, made / "policies"):
        run = here("policy", "check", place)
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.startswith("good: ")


SERVED = '@id("served")\nforbid (principal, action == Action::"read_file", resource);\n'


@pytest.fixture(params=["plain", "swung"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory of `init` whose pdp.yaml names another set, which says more; its own `policies` is the old one."""
    made = init(tmp_path / "laptop")
    live = tmp_path / "live"
    version = live if request.param == "plain" else live / "v1"
    shutil.copytree(shipped.find(), version)
    (version / "served.cedar").write_text(SERVED)
    if request.param == "swung":
        (live / "..data").symlink_to("v1")
    config = made / "pdp.yaml"
    config.write_text(config.read_text().replace("policies: policies ", "policies: ../live "))
    return made


def test_every_command_speaks_of_the_set_that_pdp_yaml_names(elsewhere: Path) -> None:
    live = elsewhere.parent / "live"
    for command in ("check", "show"):
        run = here("policy", command, elsewhere)
        assert (run.returncode, run.stdout) == (0, here("policy", command, live).stdout)
        assert run.stdout != here("policy", command, elsewhere / "policies").stdout
    assert "served" in here("policy", "who-can", "read_file", "File::alice/notes.txt", "--dir", elsewhere).stdout
    case = elsewhere / "case.yaml"
    alice = "{user: alice, agent: coding-bot, org: acme, roles: [user]}"
    case.write_text(f"principal: {alice}\naction: read_file\nresource: File::alice/notes.txt\n")
    explained = here("policy", "explain", "--request", case, "--dir", elsewhere)
    assert "forbidden by served" in explained.stdout


def test_the_tests_that_are_run_are_those_of_the_set_that_pdp_yaml_names(elsewhere: Path) -> None:
    run = here("policy", "test", elsewhere, "--no-coverage")
    assert run.returncode == 1
    assert "served" in run.stdout + run.stderr
    assert here("policy", "test", elsewhere / "policies", "--no-coverage").returncode == 0


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("policies: gone", "correct `policies:` in"),
        ("policies: [policies]", "names no directory in `policies:`"),
        ('policies: ""', "names no directory in `policies:`"),
        ("# nothing", "names no directory in `policies:`"),
        ("policies: *x", "aliases are not allowed"),
    ],
)
def test_a_pdp_yaml_that_names_no_set_is_told_and_no_other_set_is_looked_at(
    tmp_path: Path, line: str, wrong: str
) -> None:
    made = init(tmp_path / "laptop")
    config = made / "pdp.yaml"
    config.write_text(config.read_text().replace("policies: policies ", f"{line} "))
    run = here("policy", "check", made)
    assert (run.returncode, run.stdout) == (2, "")
    assert wrong in run.stderr.replace("\n", " ")
    assert "Traceback" not in run.stderr
    config.unlink()
    config.symlink_to("gone.yaml")
    run = here("policy", "check", made)
    assert (run.returncode, run.stdout) == (1, "")


def test_every_problem_is_told_with_file_and_line(policies: Path) -> None:
    (policies / "one.cedar").write_text('@id("one")\npermit (principal, action, \n')
    (policies / "two.cedar").write_text('@id("two")\npermit (principal, action == Action::"gone", resource);\n')
    run = here("policy", "check", policies)
    assert (run.returncode, run.stdout) == (2, "")
    assert "one.cedar:" in run.stderr
    assert "two.cedar:2:" in run.stderr
    assert "next:" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("obligation", "known"), [("mask:mail", False), ("mask:email; notify:x", False), ("mask:email; max_rows:5", True)]
)
def test_an_obligation_that_the_gate_would_refuse_is_warned_of_where_it_stands(
    policies: Path, obligation: str, known: bool
) -> None:
    text = f'@id("mine")\n@obligation("{obligation}")\npermit (principal, action == Action::"read_file", resource)\n'
    (policies / "mine.cedar").write_text(text + "when { resource.org == principal.org };\n")
    run = here("policy", "check", policies)
    assert run.returncode == 0
    assert ("mine.cedar:2:1: unknown-obligation: policy mine: " in run.stderr) is not known
    assert (repr(obligation) in run.stderr) is not known
    assert here("policy", "check", "--strict", policies).returncode == int(not known)


def test_an_empty_or_missing_directory_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        run = here("policy", "check", place)
        assert run.returncode == 2
        assert "next:" in run.stderr


def test_show_prints_the_compiled_roles_and_every_policy_once(policies: Path) -> None:
    run = here("policy", "show", policies)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.count('@id("role:gate:read_file")') == 1
    assert run.stdout.count('@id("agent_access.read_own_file")') == 1


def test_a_catalog_that_the_pep_would_refuse_is_not_good(policies: Path) -> None:
    catalog = policies / "catalog.yaml"
    catalog.write_text(catalog.read_text().replace("hosted: write_file", "hosted: nope"))
    run = here("policy", "check", policies)
    assert (run.returncode, run.stdout) == (2, "")
    assert "catalog.yaml:" in run.stderr
    assert "no hosted tool 'nope'" in run.stderr
    assert "1 problem;" in run.stderr


def test_what_the_pdp_and_the_pep_find_is_told_together_and_once(policies: Path) -> None:
    catalog = policies / "catalog.yaml"
    catalog.write_text(catalog.read_text().replace("hosted: write_file", "hosted: nope"))
    (policies / "one.cedar").write_text('@id("one")\npermit (principal, action, \n')
    run = here("policy", "check", policies)
    assert "one.cedar:" in run.stderr
    assert "no hosted tool 'nope'" in run.stderr
    (policies / "one.cedar").unlink()
    catalog.write_text(catalog.read_text().replace("effect:", "efect:", 1))  # both of them parse the file
    assert here("policy", "check", policies).stderr.count("efect") == 1


async def test_the_names_that_the_check_knows_are_those_that_the_pep_serves(tmp_path: Path) -> None:
    made = init(tmp_path / "laptop")
    async with hosting.hosted(settings.load(made / "pep.yaml")) as registry:
        assert registry.names == NAMES


def test_what_is_said_of_a_bad_set_is_true_of_a_pdp_that_does_not_reload(policies: Path) -> None:
    (policies / "one.cedar").write_text("permit (")
    assert "keeps the last good set" not in here("policy", "check", policies).stderr


def test_warnings_leave_a_set_good_and_strict_makes_them_fail(policies: Path) -> None:
    (policies / "mine.cedar").write_text('@id("mine")\npermit (principal, action, resource)\nwhen { 1 > 2 };\n')
    run = here("policy", "check", policies)
    assert run.returncode == 0
    assert run.stdout.startswith("good: ")
    assert "2 warnings" in run.stdout
    assert "mine.cedar:3:8: never-applies: policy mine: it never permits anything" in run.stderr
    assert "mine.cedar:2:1: open-scope:" in run.stderr
    strict = here("policy", "check", "--strict", policies)
    assert strict.returncode == 1
    assert "2 warnings, and --strict" in strict.stderr


def test_json_tells_errors_warnings_and_what_each_request_looks_at(policies: Path) -> None:
    good = strict_json.parse(here("policy", "check", "--format", "json", policies).stdout.encode())
    assert isinstance(good, dict)
    assert (good["serves"], good["errors"], good["warnings"]) == (True, [], [])
    assert isinstance(good["slices"], dict)
    assert "agent_access.read_own_file" in str(good["slices"]["read_file"])
    (policies / "one.cedar").write_text(
        '@id("one") forbid (principal, action, resource) when { context.session.risk > 5 };'
    )
    run = here("policy", "check", "--format", "json", policies)
    bad = strict_json.parse(run.stdout.encode())
    assert run.returncode == 2
    assert isinstance(bad, dict)
    assert bad["serves"] is False
    assert "context.session has risk" in str(bad["errors"])


def test_github_gets_one_command_a_finding_and_no_name_makes_another(policies: Path) -> None:
    (policies / "mine.cedar").write_text('@id("a,b::error::x%0A")\npermit (principal, action, resource);\n')
    run = here("policy", "check", "--format", "github", policies)
    lines = run.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["::warning"] * len(lines)
    assert lines
    assert "line=2,col=1,title=policy check%3A open-scope" in run.stdout
    assert "%250A" in run.stdout
