"""Conversion of `command`, `entrypoint` and `healthcheck`, and extraction of the secrets in them."""

from __future__ import annotations

import pytest

from hopper.api.service import Healthcheck
from hopper.compose.services.secret_extraction import find_secrets_in_script, find_secrets_in_words
from hopper.compose.services.shell_words import SplitCommandLine, shell_variable_reference, split_command_line
from tests.unit.compose.compose_directory import ComposeDirectory


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("a  b\tc\n", ("a", "b", "c")),
        ("'a b' c", ("a b", "c")),
        ('"a b"c', ("a bc",)),
        (r"a\ b", ("a b",)),
        (r'"say \"hi\""', ('say "hi"',)),
        (r"'back\slash'", (r"back\slash",)),
        (r'"tab\t"', ("tab\t",)),
        ("'' \"\"", ("", "")),
        ("--a='x y'", ("--a=x y",)),
        ("a$b ${c} $(d)", ("a$b", "${c}", "$(d)")),
        ("a $(b 'c' | d)e `f g`", ("a", "$(b 'c' | d)e", "`f g`")),
        ("# no comment", ("#", "no", "comment")),
    ],
)
def test_a_command_line_is_split_into_words(text: str, words: tuple[str, ...]) -> None:
    assert split_command_line(text) == SplitCommandLine(words)


@pytest.mark.parametrize("text", ["a b && c", "a b;c", "a b | c", "a b >c", "a b&", "a b 2>&1"])
def test_a_shell_operator_ends_the_command_line(text: str) -> None:
    assert split_command_line(text) == SplitCommandLine(("a", "b"), is_cut=True)


class TestCommand:
    @pytest.mark.parametrize(
        ("text", "command", "args"),
        [
            ("command: a 'b c'", None, ("a", "b c")),
            ("command: [a, 'b c', 5, true]", None, ("a", "b c", "5", "true")),
            ("command: 8080", None, ("8080",)),
            ("entrypoint: /bin/x -y", ("/bin/x", "-y"), None),
            ("entrypoint: [x]\ncommand: [y]", ("x",), ("y",)),
            ("entrypoint: ''\ncommand: [y]", ("y",), None),
            ("entrypoint: []\ncommand: y z", ("y", "z"), None),
            ("command: null", None, None),
            ("command: ${NOTHING}", None, None),
            ('command: sh -c "echo $$HOME"', None, ("sh", "-c", "echo $HOME")),
            ('command: [sh, -c, "echo $$$$ $$(date)"]', None, ("sh", "-c", "echo $$$$ $(date)")),
            ('command: [echo, $$(A)]\nenvironment: {A: "1"}', None, ("echo", "$$(A)")),
        ],
    )
    def test_all_forms_are_converted(
        self, project: ComposeDirectory, text: str, command: tuple[str, ...] | None, args: tuple[str, ...] | None
    ) -> None:
        spec = project.app(text).spec()
        assert (spec.command, spec.args) == (command, args)

    def test_an_empty_list_is_reported(self, project: ComposeDirectory) -> None:
        assert {"command", "entrypoint"} == project.app("command: []\nentrypoint: []").dropped.keys()

    def test_words_after_a_shell_operator_are_reported(self, project: ComposeDirectory) -> None:
        result = project.app("command: npm install && npm start")
        assert result.spec().args == ("npm", "install")
        assert "sh -c" in result.changed["command"].advice

    def test_an_open_quote_is_a_problem(self, project: ComposeDirectory) -> None:
        assert "a quote is not closed" in project.app_problems('command: "echo \'a"')[0]

    def test_a_command_line_that_is_too_long_is_reported(self, project: ComposeDirectory) -> None:
        result = project.app("command: [" + ", ".join(["a"] * 257) + "]")
        assert result.spec().args is None
        assert "command" in result.dropped


SECRET = "canary"


def extract_secrets(words: list[str]) -> list[str]:
    return [
        word[span.start : span.end]
        for word, spans in zip(words, find_secrets_in_words(words), strict=True)
        for span in spans
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["redis-server", "--requirepass", SECRET, "--port", "6379"],
        ["redis-server", "--masterauth", SECRET],
        ["app", f"--db-password={SECRET}"],
        ["app", f"--db-password='{SECRET}'"],
        ["app", "-token", SECRET],
        ["app", "--api-key", SECRET, "--verbose"],
        ["env", f"PGPASSWORD={SECRET}", "psql"],
        ["redis-cli", "-a", SECRET, "ping"],
        ["/usr/bin/redis-cli", "-h", "x", "-a", SECRET],
        ["mysqladmin", "ping", "-u", "root", f"-p{SECRET}"],
        ["mongosh", "-u", "root", "-p", SECRET, "--eval", "1"],
        ["curl", "-u", SECRET, "http://localhost"],
        ["app", f"--url=postgres://user:{SECRET}@db/x"],
        ["sh", "-c", f"sleep 5; redis-cli -a {SECRET} ping"],
        ["sh", "-c", f"export API_TOKEN={SECRET} && exec app"],
        ["docker-entrypoint.sh", "mysql", f"-p{SECRET}"],
        ["CMD-SHELL", f"PGPASSWORD='{SECRET}' psql -U ci -c 'select 1'"],
        ["sh", "-c", f"TOKEN={SECRET} exec app --port 80"],
    ],
)
def test_secrets_are_found_in_words(words: list[str]) -> None:
    assert extract_secrets(words) == [SECRET]


@pytest.mark.parametrize(
    "words",
    [
        ["app", "--password-file", "/run/secrets/x"],
        ["app", "--token", "$TOKEN"],
        ["app", "--token=${TOKEN}"],
        ["app", "--max-tokens", "4096"],
        ["app", "--password-stdin", "x"],
        ["app", "--tls-key", "/etc/tls.key"],
        ["app", "--token", "--next"],
        ["app", "--password"],
        ["app", "--auth-token=false"],
        ["nginx", "-p", "/etc/nginx"],
        ["mysql", "-p"],
        ["mysqladmin", "-p$PASSWORD"],
        ["app", "http://host:80/a@b"],
    ],
)
def test_words_without_secrets_are_kept(words: list[str]) -> None:
    assert extract_secrets(words) == []


@pytest.mark.parametrize(
    ("script", "replaced"),
    [
        (f"redis-cli -a {SECRET} ping | grep PONG", 'redis-cli -a "${S}" ping | grep PONG'),
        (f"PGPASSWORD='{SECRET}' psql", "PGPASSWORD=''\"${S}\"'' psql"),
        (f'PGPASSWORD="{SECRET}" psql', 'PGPASSWORD="${S}" psql'),
        (f"mysqladmin ping -p{SECRET} || exit 1", 'mysqladmin ping -p"${S}" || exit 1'),
        (f"bash -c 'redis-cli -a {SECRET} ping'", "bash -c 'redis-cli -a '\"${S}\"' ping'"),
        (f"curl http://u:{SECRET}@localhost/", 'curl http://u:"${S}"@localhost/'),
    ],
)
def test_secrets_in_scripts_are_replaced_by_variables(script: str, replaced: str) -> None:
    (span,) = find_secrets_in_script(script)
    assert script[span.start : span.end] == SECRET
    assert script[: span.start] + shell_variable_reference(script, span.start, "S") + script[span.end :] == replaced


def test_known_secrets_are_found_inside_words() -> None:
    (span,) = find_secrets_in_script("check --with=strange-canary-1", known=["canary-1"])
    assert (span.start, span.end) == (21, 29)


class TestSecretExtraction:
    def test_a_command_refers_to_a_variable(self, project: ComposeDirectory) -> None:
        result = project.app("command: redis-server --requirepass canary --loglevel notice $$$$")
        assert result.spec().args == (
            "redis-server", "--requirepass", "$(SECRET_REQUIREPASS)", "--loglevel", "notice", "$$$$",
        )  # fmt: skip
        assert result.secrets() == {"SECRET_REQUIREPASS": "canary"}

    def test_an_existing_variable_is_reused(self, project: ComposeDirectory) -> None:
        result = project.app("command: app --password=canary\nenvironment: {APP_PASSWORD: canary}")
        assert result.spec().args == ("app", "--password=$(APP_PASSWORD)")

    def test_new_variables_get_unused_names(self, project: ComposeDirectory) -> None:
        result = project.app("command: app --token=canary --token=other\nenvironment: {SECRET_TOKEN: 'no'}")
        assert result.spec().args == ("app", "--token=$(SECRET_TOKEN_2)", "--token=$(SECRET_TOKEN_3)")

    def test_values_of_secret_variables_are_extracted(self, project: ComposeDirectory) -> None:
        project.write(".env", "DB_PASSWORD=abc\n")
        result = project.app("command: [app, 'connect:${DB_PASSWORD}']")
        assert result.spec().args == ("app", "connect:$(SECRET_VALUE)")

    def test_a_healthcheck_is_run_by_a_shell(self, project: ComposeDirectory) -> None:
        result = project.app("healthcheck: {test: [CMD, redis-cli, -a, canary, 'it''s', ping]}")
        assert result.spec().healthcheck is not None
        assert result.spec().healthcheck.test == (
            "CMD-SHELL",
            "redis-cli -a \"${SECRET_PASSWORD}\" 'it'\"'\"'s' ping",
        )
        assert result.secrets() == {"SECRET_PASSWORD": "canary"}


class TestHealthcheck:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("test: curl -f localhost", Healthcheck(test=("CMD-SHELL", "curl -f localhost"), timeout_seconds=30)),
            ("test: [CMD, a, b]", Healthcheck(test=("CMD", "a", "b"), timeout_seconds=30)),
            ("test: [CMD-SHELL, 'a || b']", Healthcheck(test=("CMD-SHELL", "a || b"), timeout_seconds=30)),
            ("test: [NONE]", Healthcheck(test=("NONE",))),
            ("test: NONE", Healthcheck(test=("CMD-SHELL", "NONE"), timeout_seconds=30)),
            ("disable: true", Healthcheck(test=("NONE",))),
            ("test: a, disable: 'yes'", Healthcheck(test=("NONE",))),
            (
                "test: a, interval: 1m30s, timeout: 1h, retries: 5, start_period: 2m",
                Healthcheck(
                    test=("CMD-SHELL", "a"),
                    interval_seconds=90,
                    timeout_seconds=3600,
                    retries=5,
                    start_period_seconds=120,
                ),
            ),
            (
                "test: a, interval: 500ms, timeout: 1.2s, retries: '0', start_period: 0s",
                Healthcheck(test=("CMD-SHELL", "a"), interval_seconds=1, timeout_seconds=2),
            ),
            (
                "test: a, interval: 15, timeout: 0s, retries: 500",
                Healthcheck(test=("CMD-SHELL", "a"), interval_seconds=15, timeout_seconds=30, retries=100),
            ),
            (
                "test: 'pg_isready -U $${USER}'",
                Healthcheck(test=("CMD-SHELL", "pg_isready -U ${USER}"), timeout_seconds=30),
            ),
        ],
    )
    def test_all_forms_are_converted(self, project: ComposeDirectory, text: str, expected: Healthcheck) -> None:
        assert project.app(f"healthcheck: {{{text}}}").spec().healthcheck == expected

    @pytest.mark.parametrize("text", ["interval: 5s", "test: []", "test: ''", "test: [CMD]"])
    def test_a_healthcheck_without_a_test_is_reported(self, project: ComposeDirectory, text: str) -> None:
        result = project.app(f"healthcheck: {{{text}}}")
        assert result.spec().healthcheck is None
        assert "defines no test" in result.dropped["healthcheck"].message

    def test_disable_false_alone_is_noted(self, project: ComposeDirectory) -> None:
        result = project.app("healthcheck: {disable: false}")
        assert result.spec().healthcheck is None
        assert "healthcheck" in result.notes

    def test_a_list_without_a_keyword_is_run_as_a_command(self, project: ComposeDirectory) -> None:
        result = project.app("healthcheck: {test: [curl, localhost]}")
        assert result.spec().healthcheck == Healthcheck(test=("CMD", "curl", "localhost"), timeout_seconds=30)
        assert "healthcheck.test" in result.changed

    def test_unsupported_keys_are_reported(self, project: ComposeDirectory) -> None:
        result = project.app("healthcheck: {test: [CMD-SHELL, a, b], start_interval: 1s, bogus: 1}")
        assert {"healthcheck.test", "healthcheck.start_interval", "healthcheck.bogus"} == result.dropped.keys()

    @pytest.mark.parametrize("text", ["interval: soon", "timeout: 1x", "retries: many", "start_period: -1s"])
    def test_invalid_durations_and_numbers_are_problems(self, project: ComposeDirectory, text: str) -> None:
        (problem,) = project.app_problems(f"healthcheck: {{test: a, {text}}}")
        assert f"healthcheck.{text.split(':')[0]}" in problem
