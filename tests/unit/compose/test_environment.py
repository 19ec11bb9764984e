"""Conversion of `environment` and `env_file` into plain variables and variables in the Secret."""

from __future__ import annotations

import base64

import pytest

from hopper.compose.secret_detection import find_passwords, is_secret_name, is_secret_value
from tests.unit.compose.compose_directory import ComposeDirectory, ConversionResult


def plain_variables(result: ConversionResult, service: str = "app") -> dict[str, str | None]:
    return {entry.name: entry.value for entry in result.spec(service).env if entry.value_from is None}


def test_values_of_a_mapping_become_text(project: ComposeDirectory) -> None:
    result = project.app(
        """
        environment:
          TEXT: hello
          NUMBER: 5
          FLOAT: 1.50
          WHOLE: 3.0
          TRUE: true
          WORD: yes
          OCTAL: "0644"
          EMPTY: ""
          with.dots-1: x
        """
    )
    assert plain_variables(result) == {
        "TEXT": "hello",
        "NUMBER": "5",
        "FLOAT": "1.5",
        "WHOLE": "3",
        "TRUE": "true",
        "WORD": "yes",
        "OCTAL": "0644",
        "EMPTY": "",
        "with.dots-1": "x",
    }


def test_a_list_holds_assignments(project: ComposeDirectory) -> None:
    result = project.app("environment: [A=1, 'B=x=y', C=, D]", environment={"D": "from outside"})
    assert plain_variables(result) == {"A": "1", "B": "x=y", "C": "", "D": "from outside"}


def test_a_name_without_a_value_is_inherited(project: ComposeDirectory) -> None:
    result = project.app("environment: {A: , B: }", environment={"A": "here"})
    assert plain_variables(result) == {"A": "here"}
    # Nothing is lost, because docker compose does not set it either.
    assert "has no value in the file or outside" in result.notes["environment.B"].message
    assert not result.dropped


def test_environment_takes_precedence_over_env_files(project: ComposeDirectory) -> None:
    project.write("one.env", "A=1\nB=1\nC=1\n")
    project.write("sub/two.env", "B=2\nC=2\n")
    result = project.app("env_file: [one.env, {path: ./sub/two.env, required: true}]\nenvironment: {C: 3}")
    assert plain_variables(result) == {"A": "1", "B": "2", "C": "3"}


def test_env_files_refer_to_variables_of_earlier_files_and_the_service(project: ComposeDirectory) -> None:
    project.write(".env", "TOP=dot\n")
    project.write("a.env", "ONE=1\nOWN=file\nTOP=file\n")
    project.write("b.env", "ALL=$ONE-$OWN-$TOP-$NOWHERE\nONE\n")
    result = project.app("env_file: [a.env, b.env]\nenvironment: {OWN: own}")
    assert plain_variables(result) == {"ONE": "1", "OWN": "own", "TOP": "file", "ALL": "1-own-dot-"}
    assert result.dropped["environment.ALL"].message == "the variable NOWHERE has no value"


def test_missing_env_files_are_reported(project: ComposeDirectory) -> None:
    result = project.app("env_file: [a.env, {path: b.env, required: false}, {path: ../c.env, format: raw, x: 1}]")
    assert {"env_file", "env_file.x"} == result.dropped.keys()
    messages = {finding.message for finding in result.conversion.findings if finding.key == "env_file"}
    assert messages == {
        "the file a.env is missing",
        "the optional file b.env is missing",
        "the file ../c.env is outside the directory of the compose file (see --root)",
    }


def test_invalid_and_reserved_names_are_reported(project: ComposeDirectory) -> None:
    result = project.app("environment: {'1A': x, 'A B': x, HOPPER_X: x, KUBERNETES_PORT: x, OK: x}")
    assert plain_variables(result) == {"OK": "x"}
    assert len(result.dropped) == 4


def test_excess_variables_are_reported(project: ComposeDirectory) -> None:
    result = project.app("environment: [" + ", ".join(f"A{n}=1" for n in range(1100)) + "]")
    assert len(result.spec().env) == 1024
    assert len(result.dropped) == 76


def test_values_that_are_too_long_are_left_out(project: ComposeDirectory) -> None:
    result = project.app(f"environment: {{A: {'x' * 32769}, B: {'x' * 32768}}}")
    assert set(plain_variables(result)) == {"B"}


def test_references_that_kubernetes_would_expand_are_escaped(project: ComposeDirectory) -> None:
    result = project.app("environment: {A: x, B: $$(A), C: $$(D), D_: $$$$, E: 'a$$b'}")
    assert plain_variables(result) == {"A": "x", "B": "$$(A)", "C": "$(D)", "D_": "$$$$", "E": "a$b"}


def test_an_entry_with_a_colon_does_not_reveal_its_value(project: ComposeDirectory) -> None:
    result = project.app("environment: ['DB_PASSWORD:canary-1', 'A canary-1']\nlabels: ['a: canary-1']")
    assert {"environment.DB_PASSWORD…", "environment.A…", "labels.a…"} <= result.dropped.keys()
    assert not any("canary-1" in str(finding) for finding in result.conversion.findings)


@pytest.mark.parametrize("text", ["environment: 5", "environment: [{a: b}]", "environment: {A: [1]}"])
def test_invalid_environments_are_problems(project: ComposeDirectory, text: str) -> None:
    assert "compose.yaml: service app: environment" in project.app_problems(text)[0]


class TestSecrets:
    @pytest.mark.parametrize(
        "name",
        [
            *("PASSWORD", "DB_PASSWORD", "MYSQL_ROOT_PASSWORD", "password", "spring.datasource.password", "dbPassword"),
            *("SMTP_PASS", "PASS", "REDIS_PASSWD", "MYSQL_PWD", "PASSPHRASE", "API_TOKEN", "TOKEN", "accessToken"),
            *("CLIENT_SECRET", "SECRET_KEY_BASE", "SECRET", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "API_KEY"),
            *("APIKEY", "ENCRYPTION_KEY", "N8N_ENCRYPTION_KEY", "KEY", "APP_KEYS", "GOOGLE_CREDENTIALS", "CREDENTIAL"),
            *(
                "NONCE_SALT",
                "SENTRY_DSN",
                "RABBITMQ_ERLANG_COOKIE",
                "VAULT_DEV_ROOT_TOKEN_ID",
                "GITEA__database__PASSWD",
            ),
            *("DBPASS", "ROOTPASS", "ADMIN_PW", "DBPWD", "REDISCLI_AUTH", "TS_AUTHKEY", "MASTERKEY", "WIFI_PSK", "JWT"),
            *("WEBPASSWORD", "DB_CONNECTION_STRING", "ConnectionStrings__Default"),
        ],
    )
    def test_secret_names_are_recognized(self, name: str) -> None:
        assert is_secret_name(name)

    @pytest.mark.parametrize(
        "name",
        [
            *("USER", "PWD", "BYPASS_PROXY", "COMPASS", "KEYCLOAK_ADMIN", "MONKEY_BUSINESS", "POSTGRES_PASSWORD_FILE"),
            *("TOKEN_PATH", "SECRETS_DIR", "PASSWORD_LOGIN_ENABLED", "AUTHOR", "HOSTNAME", "DESALTED", "BYPASS"),
        ],
    )
    def test_public_names_are_recognized(self, name: str) -> None:
        assert not is_secret_name(name)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("DATABASE_URL", "postgres://user:pw@db:5432/x"),
            ("URL", "redis://:pw@cache"),
            ("CONN", "Server=db;User Id=sa;Password=Your_pw;"),
            ("JDBC", "jdbc:postgresql://db/x?user=a&password=pw"),
            ("OPTS", "-Djavax.net.ssl.keyStorePassword=changeit"),
            ("JSON", '{"user": "a", "apiKey": "abcdef"}'),
            ("RUBY", "rails['initial_root_password'] = 'abc'"),
            ("PEM", "-----BEGIN EC PRIVATE KEY-----\nabc"),
            ("X", "ghp_abcdefghijklmnopqrstuvwxyz"),
            ("NEO4J_AUTH", "neo4j/s3cret"),
            ("BASIC_AUTH", "admin:s3cret"),
            ("BASIC_AUTH_USERS", "admin:s3cret"),
            ("USERS", "admin:$2y$05$abcdefghijkl"),
            ("HOOK", "https://hooks.slack.com/services/T0/B0/abcdef"),
            ("NOTIFY", "discord://abcdefghij0123456789@1234"),
            ("PHP", "define( 'AUTH_KEY', 'ab cd' );"),
            ("PLEX_CLAIM", "claim-abcdefghijklmnopqrst"),
        ],
    )
    def test_secret_values_are_recognized(self, name: str, value: str) -> None:
        assert is_secret_value(name, value)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("URL", "http://user@host:80/path"),
            ("URL", "http://db:5432/a@b"),
            ("LISTENERS", "PLAINTEXT://kafka:29092,PLAINTEXT_HOST://0.0.0.0:9092"),
            ("NEO4J_AUTH", "none"),
            ("X_AUTH", "http://auth:80"),
            ("OPTS", "--token=$TOKEN --password="),
            ("OPTS", "allow_empty_password=yes"),
            ("MAP", "CONTROLLER:PLAINTEXT"),
            ("PHP", "define('WP_HOME', 'https://example.com');"),
            ("URL", "ssh://some-longer-user-name@host/x"),
        ],
    )
    def test_public_values_are_recognized(self, name: str, value: str) -> None:
        assert not is_secret_value(name, value)

    def test_passwords_are_found_in_values(self) -> None:
        assert find_passwords("postgres://user:p%40w@db/x?password=other") == ("p%40w", "other")

    def test_a_value_with_a_secret_option_is_secret(self, project: ComposeDirectory) -> None:
        result = project.app("environment: {ARGS: '--requirepass turtle-dove -v', OTHER: '--port 5 --user turtle'}")
        assert result.secrets() == {"ARGS": "--requirepass turtle-dove -v"}

    @pytest.mark.parametrize("value", ["yes", "'true'", "'no'", "'1'", "''", "0"])
    def test_booleans_are_not_secret(self, project: ComposeDirectory, value: str) -> None:
        assert project.app(f"environment: {{ALLOW_EMPTY_PASSWORD: {value}}}").secrets() == {}

    def test_secret_variables_refer_to_the_secret(self, project: ComposeDirectory) -> None:
        result = project.app("environment: {DB_PASSWORD: canary-1, DB_USER: me}")
        assert result.secrets() == {"DB_PASSWORD": "canary-1"}
        assert result.manifest("HopperTemplate", "app")["spec"]["env"] == [
            {"name": "DB_USER", "value": "me"},
            {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "app-secrets", "key": "DB_PASSWORD"}}},
        ]
        secret = result.manifest("Secret", "app-secrets")
        assert secret["type"] == "Opaque"
        assert base64.b64decode(secret["data"]["DB_PASSWORD"]) == b"canary-1"

    def test_secret_values_are_not_escaped(self, project: ComposeDirectory) -> None:
        assert project.app("environment: {DB_PASSWORD: 'a$$$$b$$(DB_PASSWORD)'}").secrets() == {
            "DB_PASSWORD": "a$$b$(DB_PASSWORD)"
        }

    def test_a_value_with_a_secret_variable_is_secret(self, project: ComposeDirectory) -> None:
        project.write(".env", "DB_PASSWORD=pw\n")
        result = project.app("environment: {DSNX: 'x-${DB_PASSWORD}-y', TAG: '${TAG:-1}'}")
        assert result.secrets() == {"DSNX": "x-pw-y"}

    def test_a_secret_of_one_service_is_secret_in_all_services(self, project: ComposeDirectory) -> None:
        result = project.convert(
            """
            services:
              app: {image: a, environment: {HOSTS: "local:redis:6379:0:canary-99"}}
              redis: {image: b, environment: {REDIS_PASSWORD: canary-99}}
            """
        )
        assert result.secrets() == {"HOSTS": "local:redis:6379:0:canary-99"}

    def test_secrets_that_are_common_words_are_not_replaced(self, project: ComposeDirectory) -> None:
        result = project.app(
            "environment: {POSTGRES_PASSWORD: postgres, POSTGRES_USER: postgres, PW_TOKEN: abc, X: abcd}"
        )
        assert plain_variables(result) == {"POSTGRES_USER": "postgres", "X": "abcd"}

    def test_incomplete_secret_values_are_reported(self, project: ComposeDirectory) -> None:
        result = project.app("environment: {DB_PASSWORD: '${DB_PASSWORD}', URL: 'x://u:${PW_TOKEN}@h'}")
        assert result.secrets() == {"DB_PASSWORD": "", "URL": "x://u:@h"}
        assert "Fill in the value" in result.changed["environment.DB_PASSWORD"].advice
