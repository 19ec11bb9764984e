"""Secrets that are recognized by their value, and a secret in every place of a compose file."""

from __future__ import annotations

import base64
import json
from string import ascii_letters, digits

import pytest

from hopper.cli.manifest_yaml import yaml_documents
from hopper.compose.secret_detection import find_passwords, is_secret_name, is_secret_value
from hopper.compose.secret_formats import find_tokens, is_random
from tests.unit.compose.compose_directory import ComposeDirectory, ConversionResult

LETTERS = (ascii_letters + digits) * 4
HEX = "0123456789abcdef" * 5
# Tokens are put together here, because scanners of repositories would report whole ones.
TOKENS = {
    "GitHub": f"ghp_{LETTERS[:36]}",
    "GitHub, fine-grained": f"github_pat_{LETTERS[:22]}_{LETTERS[:59]}",
    "GitLab": f"glpat-{LETTERS[:20]}",
    "GitLab runner": f"glrt-{LETTERS[:20]}",
    "Stripe": f"sk_live_{LETTERS[:24]}",
    "Stripe, restricted": f"rk_test_{LETTERS[:24]}",
    "Stripe webhook": f"whsec_{LETTERS[:32]}",
    "AWS": f"AKIA{'Q7' * 8}",
    "AWS, temporary": f"ASIA{'Q7' * 8}",
    "Slack": f"xoxb-{digits}-{LETTERS[:24]}",
    "Slack app": f"xapp-1-{LETTERS[:24]}",
    "Google": f"AIza{LETTERS[:35]}",
    "Google OAuth": f"GOCSPX-{LETTERS[:28]}",
    "OpenAI": f"sk-proj-{LETTERS[:40]}1",
    "Anthropic": f"sk-ant-api03-{LETTERS[:40]}",
    "Hugging Face": f"hf_{LETTERS[:34]}",
    "npm": f"npm_{LETTERS[:36]}",
    "PyPI": f"pypi-AgEIcHlwaS5vcmc{LETTERS[:60]}",
    "Docker": f"dckr_pat_{LETTERS[:27]}",
    "SendGrid": f"SG.{LETTERS[:22]}.{LETTERS[:43]}",
    "Mailgun": f"key-{HEX[:32]}",
    "Mailchimp": f"{HEX[:32]}-us21",
    "DigitalOcean": f"dop_v1_{HEX[:64]}",
    "Vault": f"hvs.{LETTERS[:40]}",
    "Tailscale": f"tskey-auth-{LETTERS[:30]}",
    "age": f"AGE-SECRET-KEY-1{'Q7' * 29}",
    "Grafana": f"glsa_{LETTERS[:32]}_{HEX[:8]}",
    "Shopify": f"shpat_{HEX[:32]}",
    "Telegram": f"123456789:AA{LETTERS[:33]}",
    "Discord": f"MTA{LETTERS[:21]}.Gabcde.{LETTERS[:38]}",
    "JSON web token": f"eyJ{LETTERS[:30]}.eyJ{LETTERS[:40]}.{LETTERS[:43]}",
}
WORDS = (
    "task-management-service-production-1",
    "risk-1234567890-assessment-2024-report",
    "disk-usage",
    "pk_live_" + LETTERS[:24],  # the public key of Stripe
    "AKIAB",
    "npm_config_registry",
    "gh_actions",
    "key-value-store",
    "eyJhbGciOi",
    "sk-SK",
    "-----BEGIN CERTIFICATE-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ example@host",
    "Iv1.0123456789abcdef",
    "sha256:" + HEX[:64],
    "0123456789abcdef0123456789abcdef-user",
    "docker.io/library/nginx:1.27",
    "2026-03-01T12:00:00Z",
    "https://discord.com/channels/1",
)
CANARY = "cAn4ry-7f3a-B1rd"


def everything_but_secrets(result: ConversionResult) -> str:
    manifests = [manifest for manifest in result.conversion.manifests() if manifest["kind"] != "Secret"]
    return "".join(yaml_documents(manifests)) + json.dumps([str(finding) for finding in result.conversion.findings])


class TestTokens:
    @pytest.mark.parametrize("issuer", TOKENS)
    def test_are_secret_under_every_name(self, issuer: str) -> None:
        token = TOKENS[issuer]
        for value in (token, f"x={token}", f'{{"a": "{token}"}}', f"first,{token},last", f"https://u:{token}@h/x"):
            assert is_secret_value("INNOCENT", value)
            assert any(token in password or password in token for password in find_passwords(value))

    @pytest.mark.parametrize("issuer", TOKENS)
    def test_leave_no_part_in_a_command(self, project: ComposeDirectory, issuer: str) -> None:
        token = TOKENS[issuer]
        result = project.app(
            f"""
            entrypoint: [run, {json.dumps(token)}]
            command: ["--x", {json.dumps(f"a:{token}")}]
            healthcheck: {{test: [CMD, curl, "http://localhost/?k={token}"]}}
            labels: {{a: {json.dumps(token)}}}
            """
        )
        assert token[-12:] not in everything_but_secrets(result)
        assert token in result.secrets().values()

    @pytest.mark.parametrize("word", WORDS)
    def test_are_not_confused_with_words(self, word: str) -> None:
        assert not is_secret_value("INNOCENT", word)
        assert list(find_tokens(word)) == []

    @pytest.mark.parametrize(
        "text",
        [
            "https://discord.com/api/webhooks/1/x",
            "https://acme.webhook.office.com/webhookb2/1@2",
            "https://hooks.slack.com/triggers/T0/1/abc",
            f"https://store.blob.core.windows.net/c/f?sv=2024&sig={LETTERS[:40]}",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----",
            "-----BEGIN PRIVATE KEY-----",
            "$argon2id$v=19$m=65536",
        ],
    )
    def test_addresses_and_keys_are_secret(self, text: str) -> None:
        assert is_secret_value("INNOCENT", text)


class TestHeaders:
    @pytest.mark.parametrize(
        "header",
        [
            "Authorization: Bearer S3CRET",
            "authorization: Basic S3CRET",
            "X-Api-Key: S3CRET",
            "X-Vault-Token: S3CRET",
            "PRIVATE-TOKEN:S3CRET",
        ],
    )
    def test_credentials_in_a_command_are_moved(self, project: ComposeDirectory, header: str) -> None:
        header = header.replace("S3CRET", CANARY)
        result = project.app(f"command: ['curl', '-H', '{header}', http://localhost]")
        assert CANARY not in everything_but_secrets(result)
        assert CANARY in result.secrets().values()

    @pytest.mark.parametrize("header", ["Authorization: Bearer $$TOKEN", "Authorization: Bearer", "Accept: token/json"])
    def test_headers_without_a_value_stay(self, project: ComposeDirectory, header: str) -> None:
        assert not project.app(f"command: ['curl', '-H', '{header}', http://localhost]").secrets()


class TestNames:
    @pytest.mark.parametrize("name", ["GH_PAT", "PAT", "GITHUB_PAT", "AZURE_DEVOPS_EXT_PAT", "ghPat", "WEBHOOK_HMAC"])
    def test_of_personal_access_tokens_are_secret(self, name: str) -> None:
        assert is_secret_name(name)

    @pytest.mark.parametrize("name", ["PATH", "PATTERN", "GH_PATH", "COMPAT", "PATCH_LEVEL", "SPAT"])
    def test_that_only_begin_alike_are_not(self, name: str) -> None:
        assert not is_secret_name(name)


class TestRandomValues:
    @pytest.mark.parametrize("value", ["h1ZpilcYLYRdWp7Nk8X1M1kBPiUi8rdjz9oBfHyUKIk=", HEX[5:37], "0x" + HEX[:64]])
    @pytest.mark.parametrize("name", ["KEY_VAL_ID_key_1", "AUTH_SEED", "LICENSE", "CRYPT", "sessionSigner"])
    def test_are_secret_under_an_ambiguous_name(self, name: str, value: str) -> None:
        assert is_random(value)
        assert is_secret_value(name, value)

    @pytest.mark.parametrize("name", ["CLUSTER", "AUTH_CLIENT_ID", "KEY_FINGERPRINT", "PUBLIC_KEY_1", "KEY_SHA256"])
    def test_are_public_under_a_public_name(self, name: str) -> None:
        assert not is_secret_value(name, "h1ZpilcYLYRdWp7Nk8X1M1kBPiUi8rdjz9oBfHyUKIk=")

    @pytest.mark.parametrize(
        "value",
        [
            *("preferred_username", "smtp-auth", "1209600000", "/etc/ssl/private/Key1.pem", "accessControlListV2"),
            *("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1", "openid profile email", "RS256", "http://auth:8080", "null"),
            *("00000000-0000-0000-0000-000000000001", "https://auth.example.com/realms/Main1"),
        ],
    )
    def test_are_told_from_settings(self, value: str) -> None:
        assert not is_random(value)
        assert not is_secret_value("AUTH_ACCESS_KEY_MODE", value)


class TestEqualValues:
    @pytest.mark.parametrize("value", [CANARY, "hunter2", "hunter22", "correct horse battery staple", "correct-horse"])
    def test_are_secret_under_an_innocent_name(self, project: ComposeDirectory, value: str) -> None:
        result = project.app(f"environment: {{DB_PASSWORD: {value}, INNOCENT: {value}, COPY: 'x-{value}-y'}}")
        assert result.secrets() == {"DB_PASSWORD": value, "INNOCENT": value, "COPY": f"x-{value}-y"}
        assert value not in everything_but_secrets(result)

    def test_are_public_as_the_name_of_a_user_or_database(self, project: ComposeDirectory) -> None:
        result = project.app("environment: {MYSQL_PASSWORD: wordpress, MYSQL_USER: wordpress, DB_NAME: wordpress}")
        assert result.secrets() == {"MYSQL_PASSWORD": "wordpress"}

    def test_are_public_as_the_path_of_a_file(self, project: ComposeDirectory) -> None:
        result = project.app("environment: {PASSWORD: /run/secrets/db, PASSWORD_FILE: /run/secrets/db}")
        assert result.secrets() == {"PASSWORD": "/run/secrets/db"}

    def test_a_generated_user_name_is_secret_if_it_is_a_password_too(self, project: ComposeDirectory) -> None:
        result = project.app(f"environment: {{MYSQL_PASSWORD: {CANARY}, MYSQL_USER: {CANARY}}}")
        assert set(result.secrets()) == {"MYSQL_PASSWORD", "MYSQL_USER"}


class TestEveryPlace:
    def test_a_secret_is_in_secrets_only(self, project: ComposeDirectory) -> None:
        project.write(".env", f"DB_PASSWORD={CANARY}\n")
        project.write("app.conf", f"dsn = pg://x/{CANARY}\n")
        project.write("more.env", f"OTHER=a{CANARY}b\n")
        project.write("pw.txt", f"{CANARY}\n")
        result = project.convert(
            f"""
            services:
              app:
                image: example/app:1
                environment: {{DB_PASSWORD: "${{DB_PASSWORD}}", INNOCENT: {CANARY}, JSON: '{{"a": "{CANARY}"}}'}}
                env_file: more.env
                entrypoint: [/run, "--name={CANARY}"]
                command: sh -c "echo {CANARY} | login"
                healthcheck: {{test: "check -x {CANARY}"}}
                labels: {{note: {CANARY}, "com.example.api-key": abcdef}}
                configs: [settings]
                secrets: [pw]
                volumes: ["./app.conf:/etc/app.conf"]
              worker:
                image: example/worker:1
                environment: [COPY={CANARY}]
                command: [work, {CANARY}]
            configs: {{settings: {{content: "x: {CANARY}"}}}}
            secrets: {{pw: {{file: pw.txt}}}}
            """,
            stack="shop",
        )
        text = everything_but_secrets(result)
        for form in (CANARY, base64.b64encode(CANARY.encode()).decode().rstrip("="), "abcdef"):
            assert form not in text
        assert result.secrets("worker")["COPY"] == CANARY
        assert {"labels.note", "labels.com.example.api-key"} <= result.dropped.keys()

    @pytest.mark.parametrize(
        ("line", "field"),
        [
            (f"working_dir: /srv/{CANARY}", "workingDir"),
            (f"image: example.com/{CANARY.lower()}/app", "image"),
            (f"volumes: ['data:/{CANARY}']", "volumes[0].target"),
        ],
    )
    def test_a_secret_that_cannot_be_moved_is_refused(self, project: ComposeDirectory, line: str, field: str) -> None:
        value = CANARY.lower() if field == "image" else CANARY
        (problem,) = project.app_problems(f"environment: {{DB_PASSWORD: {value}}}\n{line}\n")
        assert f"{field}: the value contains a secret" in problem
        assert value not in problem


class TestProblems:
    @pytest.mark.parametrize(
        "line",
        [
            f"environment: *{CANARY}",
            f"environment: !{CANARY} x",
            f"environment: {{DB_PASSWORD: {CANARY}: x: y}}",
            f'environment: {{DB_PASSWORD: "{CANARY}}}',
            f"environment: {{DB_PASSWORD: [{CANARY}]}}",
            f"environment: {{DB_PASSWORD: {CANARY}}}\ndepends_on: [{CANARY}]",
            f"environment: {{DB_PASSWORD: {CANARY}}}\nhealthcheck: {{test: x, interval: {CANARY}}}",
            f"environment: {{DB_PASSWORD: {CANARY}}}\nports: [80]\nlabels: {{VIRTUAL_HOST: x}}\nworking_dir: /{CANARY}",
            f"command: run --password='{CANARY}",
        ],
    )
    def test_do_not_repeat_a_value(self, project: ComposeDirectory, line: str) -> None:
        problems = project.app_problems(line)
        assert problems
        assert not [problem for problem in problems if CANARY.lower() in problem.lower()]
