"""Conversion of `secrets` into files from the Secret of the service or from external Secrets."""

from __future__ import annotations

from tests.unit.compose.compose_directory import ComposeDirectory, ConversionResult


def convert_secrets(project: ComposeDirectory, service: str, secrets: str, **environment: str) -> ConversionResult:
    text = f"services: {{app: {{image: a, {service}}}}}\nsecrets: {{{secrets}}}"
    return project.convert(text, environment=environment)


def files(result: ConversionResult) -> dict[str, tuple[str, str, str]]:
    """Return the Secret and key that each file comes from, and its mode."""
    sources = {}
    for file in result.spec().config_files:
        assert file.content_from is not None
        ref = file.content_from.secret_key_ref
        assert ref is not None
        sources[file.path] = ref.name, ref.key, file.mode
    return sources


def test_a_secret_becomes_a_file_below_run_secrets(project: ComposeDirectory) -> None:
    project.write("pw.txt", "canary-1\n")
    result = convert_secrets(
        project, "secrets: [pw], environment: {DB_PASSWORD_FILE: /run/secrets/pw}", "pw: {file: ./pw.txt}"
    )
    assert result.secrets() == {"pw": "canary-1\n"}
    assert files(result) == {"/run/secrets/pw": ("app-secrets", "pw", "0444")}
    assert {entry.name: entry.value for entry in result.spec().env} == {"DB_PASSWORD_FILE": "/run/secrets/pw"}
    assert not result.dropped
    assert not result.changed


def test_target_and_mode_can_be_set(project: ComposeDirectory) -> None:
    project.write("pw.txt", "canary-1")
    service = "secrets: [{source: pw, target: one, mode: 0400}, {source: pw, target: /etc/two, mode: '0440', uid: '1'}]"
    result = convert_secrets(project, service, "pw: {file: pw.txt}, more: {file: pw.txt}")
    assert files(result) == {
        "/run/secrets/one": ("app-secrets", "pw", "0400"),
        "/etc/two": ("app-secrets", "pw", "0440"),
    }
    assert set(result.dropped) == {"secrets[1].uid"}
    assert "secrets.more" in result.notes


def test_an_external_secret_is_referred_to(project: ComposeDirectory) -> None:
    for definition, name in (("{external: true}", "pw"), ("{external: true, name: The_Pw}", "the-pw"),
                             ("{external: {name: old}}", "old")):  # fmt: skip
        result = convert_secrets(project, "secrets: [Pw]", f"Pw: {definition}")
        assert files(result) == {"/run/secrets/Pw": (name, "Pw", "0444")}
        assert result.changed["secrets[0]"].message == f"the Secret {name} must exist, with the key Pw"
        assert not result.secrets()


def test_a_secret_can_come_from_the_environment(project: ComposeDirectory) -> None:
    assert convert_secrets(project, "secrets: [pw]", "pw: {environment: PW}", PW="canary-1").secrets() == {
        "pw": "canary-1"
    }


def test_missing_values_are_reported_and_empty(project: ComposeDirectory) -> None:
    for definition in ("pw: {file: gone.txt}", "pw: {environment: GONE}", "other: {file: x}"):
        result = convert_secrets(project, "secrets: [pw]", definition)
        assert result.secrets() == {"pw": ""}
        assert files(result) == {"/run/secrets/pw": ("app-secrets", "pw", "0444")}
        assert "secrets[0]" in result.dropped
        assert any("Fill in the value" in finding.advice for finding in result.conversion.findings)


def test_a_variable_of_the_same_name_has_a_separate_key(project: ComposeDirectory) -> None:
    project.write("pw.txt", "canary-1")
    result = convert_secrets(project, "secrets: [API_KEY], environment: {API_KEY: canary-2}", "API_KEY: {file: pw.txt}")
    assert result.secrets() == {"API_KEY": "canary-2", "API_KEY.file": "canary-1"}
    assert files(result) == {"/run/secrets/API_KEY": ("app-secrets", "API_KEY.file", "0444")}


def test_two_files_at_one_path_are_reported(project: ComposeDirectory) -> None:
    project.write("pw.txt", "canary-1")
    service = "secrets: [pw, {source: pw, target: /run/secrets/pw}], volumes: ['./pw.txt:/run/secrets/pw']"
    result = convert_secrets(project, service, "pw: {file: pw.txt}")
    assert list(files(result)) == ["/run/secrets/pw"]
    assert "secrets[1]" in result.dropped
    assert "volumes[0]" in result.notes


def test_values_of_secret_files_are_replaced_everywhere(project: ComposeDirectory) -> None:
    project.write("pw.txt", "canary-1\n")
    result = convert_secrets(
        project, "secrets: [pw], environment: {X: see canary-1}, command: [a, canary-1]", "pw: {file: pw.txt}"
    )
    assert result.secrets()["X"] == "see canary-1"
    assert result.spec().args == ("a", "$(SECRET_VALUE)")
