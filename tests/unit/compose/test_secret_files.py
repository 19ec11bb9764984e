"""`secrets`: files below /run/secrets, which become variables."""

from __future__ import annotations

from tests.unit.compose.converting import Project, Result


def convert(project: Project, service: str, secrets: str, **environment: str) -> Result:
    text = f"services: {{app: {{image: a, {service}}}}}\nsecrets: {{{secrets}}}"
    return project.convert(text, environment=environment)


def test_a_variable_that_names_the_file_becomes_one_with_the_value(project: Project) -> None:
    project.write("pw.txt", "canary-1\n")
    result = convert(project, "secrets: [pw], environment: {DB_PASSWORD_FILE: /run/secrets/pw}", "pw: {file: ./pw.txt}")
    assert result.secrets() == {"DB_PASSWORD": "canary-1"}
    assert [entry.name for entry in result.spec().env] == ["DB_PASSWORD"]
    assert "it became DB_PASSWORD" in result.changed["environment.DB_PASSWORD_FILE"].message


def test_targets_and_both_spellings(project: Project) -> None:
    project.write("pw.txt", "canary-1")
    service = """secrets: [{source: pw, target: one}, {source: pw, target: /etc/two}],
      environment: {A_FILE: /run/secrets/one, B__FILE: /etc/two}"""
    assert convert(project, service, "pw: {file: pw.txt}").secrets() == {"A": "canary-1", "B": "canary-1"}


def test_a_secret_that_exists_already(project: Project) -> None:
    service = "secrets: [Pw], environment: {A_FILE: /run/secrets/Pw}"
    result = convert(project, service, "Pw: {external: true}")
    (entry,) = result.spec().env
    assert entry.value_from is not None
    assert entry.value_from.secret_key_ref is not None
    assert (entry.value_from.secret_key_ref.name, entry.value_from.secret_key_ref.key) == ("pw", "Pw")
    assert "must exist" in result.changed["environment.A_FILE"].advice
    assert not result.secrets()


def test_a_secret_from_the_environment(project: Project) -> None:
    service = "secrets: [pw], environment: {A_FILE: /run/secrets/pw}"
    assert convert(project, service, "pw: {environment: PW}", PW="canary-1").secrets() == {"A": "canary-1"}


def test_values_that_are_not_there_can_be_filled_in(project: Project) -> None:
    for definition in ("pw: {file: gone.txt}", "pw: {environment: GONE}", "other: {file: x}"):
        result = convert(project, "secrets: [pw], environment: {A_FILE: /run/secrets/pw}", definition)
        assert result.secrets() == {"A": ""}
        assert "secrets[0]" in result.dropped
        assert "environment.A" in result.changed


def test_what_no_variable_names_is_kept_but_not_mounted(project: Project) -> None:
    project.write("pw.txt", "canary-1")
    result = convert(project, "secrets: [{source: pw, mode: 0400}]", "pw: {file: pw.txt}, more: {file: pw.txt}")
    assert result.secrets() == {"pw": "canary-1"}
    assert "not mounted at /run/secrets/pw" in result.dropped["secrets[0]"].message
    assert "secrets[0].mode" in result.dropped
    assert "secrets.more" in result.notes
    external = convert(project, "secrets: [pw]", "pw: {external: true, name: other}")
    assert "the Secret other is not mounted" in external.dropped["secrets[0]"].message


def test_a_variable_that_is_there_already_wins(project: Project) -> None:
    project.write("pw.txt", "canary-1")
    service = "secrets: [pw], environment: {A_FILE: /run/secrets/pw, A: x}"
    result = convert(project, service, "pw: {file: pw.txt}")
    assert {entry.name: entry.value for entry in result.spec().env} == {"A_FILE": "/run/secrets/pw", "A": "x"}


def test_values_of_secret_files_are_secret_everywhere(project: Project) -> None:
    project.write("pw.txt", "canary-1")
    result = convert(
        project, "secrets: [pw], environment: {X: see canary-1}, command: [a, canary-1]", "pw: {file: pw.txt}"
    )
    assert result.secrets()["X"] == "see canary-1"
    assert result.spec().args == ("a", "$(SECRET_VALUE)")
