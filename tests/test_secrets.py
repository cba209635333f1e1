"""Credentials on added lines: each family is found, stand-ins are not, and no value ever leaves in the clear.

Every value here is made at run time: a repository must not hold what looks like a real one.
"""

from __future__ import annotations

import json
import random
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.model import Hit, Severity
from agentreview.policies import secrets
from agentreview.policies.secrets import mask
from agentreview.reporters import REPORTERS
from engine import change, reviewed, verdict

RULE = "secrets.hardcoded"
ALNUM = string.ascii_letters + string.digits


def made(size: int, alphabet: str = ALNUM, seed: int = 7) -> str:
    """A random-looking value, the same at every run."""
    rng = random.Random(f"{size}{alphabet}{seed}")
    return "".join(rng.choice(alphabet) for _ in range(size))


HEX, UPPER, DIGITS = "0123456789abcdef", string.ascii_uppercase + "234567", string.digits
# family -> (line with {} for the value, value)
FAMILIES = {
    "aws key id": ('AWS = "{}"', "AKIA" + made(16, UPPER)),
    "aws secret": ('aws_secret_access_key = "{}"', made(40, ALNUM + "/+")),
    "github": ('T = "{}"', "ghp_" + made(36)),
    "github fine-grained": ('T = "{}"', "github_pat_" + made(22) + "_" + made(59)),
    "gitlab": ('T = "{}"', "glpat-" + made(20)),
    "slack": ('T = "{}"', "xoxb-" + made(12, DIGITS) + "-" + made(12, DIGITS) + "-" + made(24)),
    "slack hook": (
        'U = "{}"',
        "https://hooks.slack.com/services/T" + made(9, UPPER) + "/B" + made(9, UPPER) + "/" + made(24),
    ),
    "stripe": ('T = "{}"', "sk_live_" + made(24)),
    "sendgrid": ('T = "{}"', "SG." + made(22) + "." + made(43)),
    "twilio": ('T = "{}"', "SK" + made(32, HEX)),
    "npm": ('//packages.clinic.example/:_authToken="{}"', "npm_" + made(36)),
    "pypi": ('T = "{}"', "pypi-AgEIcHlwaS5vcmc" + made(80)),
    "openai": ('T = "{}"', "sk-" + made(20) + "T3BlbkFJ" + made(20)),
    "anthropic": ('T = "{}"', "sk-ant-api03-" + made(80)),
    "google": ('T = "{}"', "AIza" + made(35)),
    "mailchimp": ('T = "{}"', made(32, HEX) + "-us12"),
    "hugging face": ('T = "{}"', "hf_" + made(34, string.ascii_letters)),
    "digital ocean": ('T = "{}"', "dop_v1_" + made(64, HEX)),
    "square": ('T = "{}"', "sq0csp-" + made(43)),
    "jwt": ('T = "{}"', "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + made(43)),
    "url": ('DB = "{}"', "postgres://app:" + made(20) + "@db.internal/app"),
    "password": ('PASSWORD = "{}"', "Tr0ub4dor&" + made(6)),
    "token in a dict": ('{{"api_key": "{}"}}', made(32)),
    "keyword": ('connect(password="{}")', "hT7!" + made(9)),
    "typescript": ("const clientSecret = '{}';", made(40)),
    "subscript": ('config["secret_key"] = "{}"', made(50)),
    "a typed field": ('    jwt_secret: str = "{}"', made(32)),
    "a type with brackets": ("API_KEY: Final[str | None] = '{}'", made(32)),
    "a typed constant": ('const clientSecret: string = "{}";', made(40)),
    "a wrapped default": ('    db_password: SecretStr = SecretStr("{}")', "hT7!" + made(9)),
    "a field's default": ('    signing_key: str = Field(default="{}")', made(32)),
}


def line(family: str) -> tuple[str, str]:
    shape, value = FAMILIES[family]
    return shape.format(value), value


def found(text: str, path: str = "app/settings.py", before: str | None = None):
    return [c.claim for c in reviewed(change(path, before, text)).claims if c.claim.rule == RULE]


def hidden_part(value: str) -> str:
    """What must not be shown: all but what names the kind (a prefix, the host of a URL)."""
    return value.split("://app:")[1].split("@", maxsplit=1)[0] if "://app:" in value else value[-16:]


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_found_on_its_line(family):
    text, value = line(family)
    [claim] = found(f"x = 1\n{text}\ny = 2\n")
    assert claim.start_line == 2
    assert claim.hit is Hit.VIOLATION
    assert hidden_part(value) not in repr(claim)


@pytest.mark.parametrize(
    "text",
    [
        'password = "changeme"',
        'PASSWORD = "your-password-here"',
        'API_KEY = "<your key>"',
        'token = "xxxxxxxxxxxxxxxx"',
        'token = "${TOKEN}"',
        'token = "{{ token }}"',
        'password = os.environ["DB_PASSWORD"]',
        "const token = process.env.TOKEN;",
        'password = get_password("clinic-database")',
        'SECRET_KEY = env("SECRET_KEY")',
        'token_url = "https://auth.clinic.test/token"',
        'password_field = "password_confirmation"',
        'PASSWORD_HASHERS = "django.contrib.auth.hashers.Argon2PasswordHasher"',
        'token_type = "Bearer"',
        '# signing_key = "~/.ssh/id_ed25519"      # default: the ssh key that git signs with',
        'secret_name = "prod/database/main"',
        "access_key = settings.AWS_ACCESS_KEY",
        'AWS = "AKIAIOSFODNN7EXAMPLE"',
        'url = "postgres://user:password@localhost/db"',
        'url = f"amqp://{user}:{password}@{host}"',
        'password: str = ""',
        'token: str = Field(alias="authToken9")',
        'const secret: string = process.env.SECRET ?? "";',
        'if (token.kind === "accessToken9") {',
        '{ secret: kind == "accessToken9" }',
        'sha = "' + made(40, HEX) + '"',
        'integrity = "sha512-' + made(86) + '=="',
        "-----BEGIN PUBLIC KEY-----",
        'label = "Enter your password"',
        '"api_keys": "API-Schlüssel",',
        'out.append("GW_ACCESS_TOKEN=").append(clean(credentials.getId())).append("x");',
        '"add_api_key": "APIキーを追加",',
    ],
)
def test_stand_ins_names_and_code_are_silent(text):
    assert found(text + "\n") == []


@pytest.mark.parametrize("path", ["package-lock.json", "web/yarn.lock", "poetry.lock", "go.sum", "uv.lock"])
def test_lock_files_hold_hashes(path):
    assert found(line("password")[0] + "\n", path) == []


def test_only_added_lines_are_looked_at():
    text, _ = line("github")
    assert found(f"{text}\nx = 2\n", before=f"{text}\nx = 1\n") == []
    assert len(found(f"{text}\n{text}\n", before=f"{text}\n")) == 1


@pytest.mark.parametrize("path", [".env", "deploy/.env.production", "config/app.ini", "values.yaml", "x.tfvars"])
def test_configuration_files_need_no_quotes(path):
    assert len(found(f"DB_PASSWORD={made(24)}\n", path)) == 1


def test_python_code_without_quotes_is_code():
    assert found(f"password = {made(24, string.ascii_letters)}\n") == []


def test_a_fixture_in_a_test_is_advice_and_a_real_key_there_is_not():
    [claim] = found(line("password")[0] + "\n", "tests/test_login.py")
    assert (claim.hit, claim.severity) == (Hit.SUSPECT, Severity.MEDIUM)
    [claim] = found(line("github")[0] + "\n", "tests/test_login.py")
    assert claim.hit is Hit.VIOLATION


@pytest.mark.parametrize("pad", [4_990, 5_100, 20_500])
def test_padding_hides_nothing(pad):
    text, value = line("github")
    [claim] = found(f"{' ' * pad}{text}\n")
    assert hidden_part(value) not in repr(claim)
    assert verdict(change("app/settings.py", None, f"{' ' * pad}{text}\n")).findings


@pytest.mark.parametrize(
    "text", ["a" * 400_000, "token" * 80_000, "access_key." * 40_000, "://a:" * 80_000, "eyJ" * 100_000]
)
def test_a_long_line_is_searched_in_linear_time(text):
    """In the main process, which nothing would kill."""
    started = time.process_time()
    found(f"x = {text}\n", "notes.txt")
    mask(text)
    assert time.process_time() - started < 3


def test_a_file_that_is_not_reviewed_is_still_searched():
    text, _ = line("github")
    assert len(found(f"# @generated\n{text}\n", "app/x_pb2.py")) == 1
    assert len(found(f"def broken(:\n{text}\n")) == 1
    assert len(found(f"{text}\n", "notes.unknown")) == 1


# -- nothing in the clear ------------------------------------------------------------------------------------------


def shown(*changes) -> str:
    """Everything that any reporter prints, and the values themselves."""
    answer = verdict(*changes)
    return "\n".join([repr(answer), *(render(answer) for render in REPORTERS.values())])


@pytest.mark.parametrize("family", FAMILIES)
def test_no_report_shows_the_value(family):
    text, value = line(family)
    out = shown(change("app/settings.py", None, f"x = 1\n{text}\ny = 2\n"))
    assert RULE in out
    assert hidden_part(value) not in out


@pytest.mark.parametrize("family", FAMILIES)
def test_a_neighbour_of_a_finding_does_not_show_its_value_either(family):
    """The frame around a finding shows lines that no finding is about: old ones, and those of other policies."""
    text, value = line(family)
    before = f"x = 1\n{text}\n"
    out = shown(change("app/settings.py", before, f"x = 1\n{text}\n{line('gitlab')[0]}\n"))
    assert RULE in out
    assert hidden_part(value) not in out


def test_the_body_of_a_private_key_is_not_shown():
    body = [made(64, ALNUM + "+/", seed=n) for n in range(4)]
    pem = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *body, "-----END RSA PRIVATE KEY-----"])
    for text in (
        pem,
        'KEY = """' + pem + '"""',
        'KEY = "' + pem.replace("\n", "\\n") + '"',
        "\n".join(f"    '{row}\\n' +" for row in pem.split("\n")),
    ):
        out = shown(change("deploy/key.py", None, text + "\n"))
        assert RULE in out
        assert not [row for row in body if row[8:40] in out]


def test_two_unquoted_values_in_a_row_hide_each_other():
    first, second = made(24, seed=1), made(24, seed=2)
    out = shown(change(".env", None, f"DB_PASSWORD={first}\nexport API_TOKEN={second}\n"))
    assert first not in out
    assert second not in out


def test_the_word_hidden_in_the_source_is_no_way_past_the_mask():
    value = "hT7!" + made(12)
    source = (
        "import logging\nfrom clinic.models import Patient\nlogger = logging.getLogger(__name__)\n\n\n"
        f'def view(request, pk):\n    p = Patient.objects.get(pk=pk)\n    logger.info(p.ssn, extra=dict(password="{value}"))  # [hidden]\n'
    )
    out = shown(change("app/views.py", None, source))
    assert "hipaa.phi-in-logs" in out
    assert value not in out


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('logger.info("ssn 536-22-8726 of %s", p.id)', 'logger.info("ssn [hidden] of %s", p.id)'),
        ("x = ['536-22-8726', '537-22-8727']", "x = ['[hidden]', '[hidden]']"),
        ("call(1-536-22-8726, 000-12-3456, 2026-11-26, 2d5362f0-99-8726)", None),
    ],
)
def test_a_social_security_number_is_hidden_wherever_code_is_shown(line, shown):
    assert mask(line) == (shown or line)


def test_evidence_and_waiver_reasons_are_masked():
    value = "hT7!" + made(12)
    source = (
        "from django.contrib.auth.decorators import login_required\nfrom clinic.audit import audit_log\nfrom clinic.models import Invoice\n\n\n"
        "@login_required\ndef view(request, pk):\n    row = Invoice.objects.get(pk=pk, org=request.user.org)\n"
        f'    audit_log(row, password="{value}")\n    return row\n'
    )
    gone = "\n".join(row for row in source.split("\n") if "audit_log(row" not in row)
    out = shown(change("app/views.py", source, gone))
    assert "data.audit-removed" in out
    assert value not in out
    waived = f'def f():\n    x = 1  # agentreview: ignore[hipaa.audit-phi-read] password="{value}"\n'
    assert value not in shown(change("app/a.py", None, waived))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(FAMILIES)),
    st.integers(0, 10_000),
    st.sampled_from(["", "    ", "\t", "- ", "export ", "# ", "x = 1; ", "é "]),
    st.sampled_from(["", ",", ";", "  # note", ")", "\r"]),
)
def test_whatever_stands_around_a_value_the_mask_hides_it(family, seed, ahead, behind):
    shape, value = FAMILIES[family]
    fresh = "".join(
        random.Random(seed + n).choice(ALNUM) if c.isalnum() and n >= len(value) - 12 else c
        for n, c in enumerate(value)
    )
    if "://" in value or family in {"twilio", "mailchimp", "digital ocean"}:
        fresh = value
    text = ahead + shape.format(fresh) + behind
    for claim in found(text + "\n"):
        assert hidden_part(fresh) not in json.dumps([claim.quote, claim.message, claim.identity, claim.fix])


@given(st.text(max_size=300))
def test_the_mask_never_raises_and_leaves_short_plain_text_alone(text):
    assert isinstance(mask(text), str)


@given(st.text(alphabet="abcdefghij klmnop_()=.,:", max_size=80))
def test_the_mask_leaves_ordinary_lines_alone(text):
    if not any(word in text for word in ("://", "PRIVATE")):
        assert mask(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "def get_token(request):",
        "    token = request.headers.get('X-Token')",
        "    password = forms.CharField(widget=forms.PasswordInput)",
        "task-management-dashboard-component",
        "from app.security import verify_password_hash",
        "const accessToken = await getAccessToken();",
        "    return JsonResponse({'name': patient.name})",
    ],
)
def test_code_is_shown_as_it_is(text):
    assert mask(text) == text


_TOKENS = st.sampled_from(
    [
        *secrets._WORDS,
        *secrets._MARKS,
        "password",
        "ghp_",
        "glpat-",
        "glft-",
        "=",
        ": ",
        '"',
        "'",
        " ",
        "\n",
        "a",
        "B7",
        "0123456789abcdef",
        "x" * 12,
        "a1" * 20,
        "@",
        "/",
        "-us12",
        "12345678:",
    ]
)


@given(st.lists(_TOKENS, max_size=12).map("".join))
def test_what_the_quick_look_passes_over_holds_nothing(line: str):
    """The quick look is only a shortcut: no line it lets by may be one that the patterns would hide or report."""
    if secrets.plain(line):
        assert secrets._hidden(line) == line
        assert list(secrets._found(line, config=True)) == []


def test_what_is_used_when_the_environment_says_nothing_is_a_credential_and_masked():
    value = "c292a0a3aa32397cdb05" + "0e233733900f"
    line = f'SECRET_KEY = os.environ.get("COOKIE_SECRET", "{value}")'
    assert value not in mask(line)
    assert mask('REGION = os.environ.get("TOKEN_REGION", "eu-central-1")').endswith('"eu-central-1")')
