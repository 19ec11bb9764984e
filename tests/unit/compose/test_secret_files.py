"""`secrets`: files below /run/secrets, which come from Secrets."""

from __future__ import annotations

from tests.unit.compose.converting import Project, Result


def convert(project: Project, service: str, secrets: str, **environment: str) -> Result:
    text = f"services: {{app: {{image: a, {service}}}}}\nsecrets: {{{secrets}}}"
    return project.convert(text, environment=environment)


def files(result: Result) -> dict[str, tuple[str, str, str]]:
    """Return the Secret and key that each file comes from, and its mode."""
    found = {}
    for file in result.spec().config_files:
        assert file.content_from is not None
        ref = file.content_from.secret_key_ref
        assert ref is not None
        found[file.path] = ref.name, ref.key, file.mode
    return found


def test_a_secret_is_a_file_as_docker_compose_has_it(project: Project) -> None:
    project.write("pw.txt", "canary-1\n")
    result = convert(project, "secrets: [pw], environment: {DB_PASSWORD_FILE: /run/secrets/pw}", "pw: {file: ./pw.txt}")
    assert result.secrets() == {"pw": "canary-1\n"}
    assert files(result) == {"/run/secrets/pw": ("app-secrets", "pw", "0444")}
    assert {entry.name: entry.value for entry in result.spec().env} == {"DB_PASSWORD_FILE": "/run/secrets/pw"}
    assert not result.dropped
    assert not result.changed


def test_targets_and_modes(project: Project) -> None:
    project.write("pw.txt", "canary-1")
    service = "secrets: [{source: pw, target: one, mode: 0400}, {source: pw, target: /etc/two, mode: '0440', uid: '1'}]"
    result = convert(project, service, "pw: {file: pw.txt}, more: {file: pw.txt}")
    assert files(result) == {
        "/run/secrets/one": ("app-secrets", "pw", "0400"),
        "/etc/two": ("app-secrets", "pw", "0440"),
    }
    assert set(result.dropped) == {"secrets[1].uid"}
    assert "secrets.more" in result.notes


def test_a_secret_that_exists_already(project: Project) -> None:
    for definition, name in (("{external: true}", "pw"), ("{external: true, name: The_Pw}", "the-pw"),
                             ("{external: {name: old}}", "old")):  # fmt: skip
        result = convert(project, "secrets: [Pw]", f"Pw: {definition}")
        assert files(result) == {"/run/secrets/Pw": (name, "Pw", "0444")}
        assert result.changed["secrets[0]"].message == f"the Secret {name} must exist, with the key Pw"
        assert not result.secrets()


def test_a_secret_from_the_environment(project: Project) -> None:
    assert convert(project, "secrets: [pw]", "pw: {environment: PW}", PW="canary-1").secrets() == {"pw": "canary-1"}


def test_values_that_are_not_there_can_be_filled_in(project: Project) -> None:
    for definition in ("pw: {file: gone.txt}", "pw: {environment: GONE}", "other: {file: x}"):
        result = convert(project, "secrets: [pw]", definition)
        assert result.secrets() == {"pw": ""}
        assert files(result) == {"/run/secrets/pw": ("app-secrets", "pw", "0444")}
        assert "secrets[0]" in result.dropped
        assert any("Fill in the value" in one.advice for one in result.conversion.findings)


def test_a_variable_of_the_same_name(project: Project) -> None:
    project.write("pw.txt", "canary-1")
    result = convert(project, "secrets: [API_KEY], environment: {API_KEY: canary-2}", "API_KEY: {file: pw.txt}")
    assert result.secrets() == {"API_KEY": "canary-2", "API_KEY.file": "canary-1"}
    assert files(result) == {"/run/secrets/API_KEY": ("app-secrets", "API_KEY.file", "0444")}


def test_a_file_that_is_there_already(project: Project) -> None:
    project.write("pw.txt", "canary-1")
    service = "secrets: [pw, {source: pw, target: /run/secrets/pw}], volumes: ['./pw.txt:/run/secrets/pw']"
    result = convert(project, service, "pw: {file: pw.txt}")
    assert list(files(result)) == ["/run/secrets/pw"]
    assert "secrets[1]" in result.dropped
    assert "volumes[0]" in result.notes


def test_values_of_secret_files_are_secret_everywhere(project: Project) -> None:
    project.write("pw.txt", "canary-1\n")
    result = convert(
        project, "secrets: [pw], environment: {X: see canary-1}, command: [a, canary-1]", "pw: {file: pw.txt}"
    )
    assert result.secrets()["X"] == "see canary-1"
    assert result.spec().args == ("a", "$(SECRET_VALUE)")
