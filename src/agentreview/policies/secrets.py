"""Credentials in added lines: a cheap look for candidates, then detect-secrets' detectors on those lines only.

Values never leave this module in the clear: claims carry a masked line, and every line of code that a report shows went
through :func:`mask`. That hides a social security number as well: no other data of people has a shape so certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.lazyre import lazy
from agentreview.model import Claim, FileChange, Hit, Severity
from agentreview.policies.load import Check, Policy
from agentreview.policies.paths import path_classes
from agentreview.syntax.parse import text_of

# Shapes of tokens with a fixed form. Deliberately wide: they only choose the lines that a detector then judges.
_KNOWN = lazy(
    r"AKIA|ASIA|A3T[A-Z0-9]|gh[pousr]_|github_pat_|glpat-|gl[a-z]{2,5}-|xox[abprse]-|hooks\.slack\.com|[rs]k_(?:live|test)_|rk_live|SG\.|AC[a-f0-9]{32}|SK[a-f0-9]{32}|eyJ[\w-]{8,}|"
    r"npm_[A-Za-z0-9]|pypi-|sq0|-us\d{1,2}\b|AccountKey=|BEGIN [A-Z ]*PRIVATE KEY|sk-[A-Za-z0-9]|sk-ant-|AIza|GOCSPX-|1//0|ya29\.|://[^/\s:@'\"]{1,64}:[^/\s@'\"]{3,}@|dop_v1_|hf_[A-Za-z0-9]|shpat_"
)
# Without what may stand in front of the word: trying every start of a long run of letters costs fifty times as much.
_NAME = r"(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|apikey|access[_-]?key|private[_-]?key|client[_-]?key|auth[_-]?key|encryption[_-]?key|signing[_-]?key|credentials?|connection[_-]?string)[\w.-]{0,20}"
# Between the name and the value: with a type, `jwt_secret: str = `, and in what settings are wrapped in, `SecretStr(`.
_IS = r"(?::\s*[A-Za-z_][\w.|\[\]<> ]{0,40}=(?!=)|:=|=>|=|:)\s*(?:SecretStr\(\s*|SecretBytes\(\s*|Field\(\s*(?:default\s*=\s*)?(?:SecretStr\(\s*)?)?"
_ASSIGNED = lazy(rf"""(?i)["']?({_NAME})["']?\]?\s*{_IS}(?:[bru]{{0,2}})(["'`])([^"'`\s]{{8,200}})\2""")
# What is used when the environment says nothing: os.environ.get("COOKIE_SECRET", "c292…")
_DEFAULTED = lazy(
    r"""(?i)((?:getenv|environ\.get|env|config|get)\(\s*["']([\w.]{0,60}?(?:password|passwd|passphrase|pwd|secret|secret_?key|token|api_?key|access_?key|private_?key|signing_?key|encryption_?key|credentials?))["']\s*,\s*["'])([^"'\s]{8,200})(?=["'])"""
)
_UNQUOTED = lazy(
    rf"(?i)^\s*(?:export\s+|-\s+)?([\w.-]{{0,40}}{_NAME})\s*[=:]\s*()([^\s\"'`#$<{{(,;]{{12,200}})\s*(?:#.*)?$"
)
_CONFIG = lazy(r"(?:^|/)(?:\.env[\w.-]*|[^/]*\.(?:env|ini|cfg|conf|properties|ya?ml|toml|json|tfvars))$")
# Stand-ins: words that say so, whatever is around them; and values that are words, or nothing but one character.
_STAND_IN = lazy(
    r"(?i)example|changeme|change[_-]?me|placeholder|your[_-]|<[^>]+>|\.\.\.|x{4,}|\*{3,}|dummy|sample|foobar|redacted|insert|todo|fixme|[$#]\{|\{\{|\{\w*\}|%\(|process\.env|os\.environ|getenv"
)
_PLACEHOLDER = lazy(
    rf"{_STAND_IN.pattern}|"
    r"^(?:test|fake|mock|secret|password|token|none|null|undefined|true|false|admin|root|postgres|default)[\w-]{0,12}$|^(.)\1+$|^[-_ .]*[a-z]+(?:[-_ .:/][a-z]+)*[-_ .:]*$|^[A-Z]+(?:_[A-Z]+)*$|^~?/|^https?://[^:@]*$|^(?:12345|abcdef|qwerty)"
)
_CODE_VALUE = lazy(r"^\)[.,;)+]|^[A-Za-z_$][\w$]*(?:\.[\w$]+)+\(?|^[A-Za-z_]\w*\(|^\w+\[")
_LOCKFILES = lazy(
    r"(?:^|/)(?:package-lock\.json|yarn\.lock|pnpm-lock\.yaml|poetry\.lock|uv\.lock|Pipfile\.lock|Cargo\.lock|go\.sum|composer\.lock|Gemfile\.lock)$"
)
_PEM = "Private Key"
_KEY_BODY = lazy(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40,}")
_PLUGINS = "aws azure_storage_key basic_auth cloudant discord github_token gitlab_token ibm_cos_hmac jwt mailchimp npm openai private_key pypi_token sendgrid slack square_oauth stripe telegram_token twilio".split()
_MASKED = lazy(
    rf"((?<![A-Za-z])(?:AKIA|ASIA|gh[pousr]_|github_pat_|gl[a-z]{{2,5}}-|xox[abprse]-|[rs]k_(?:live|test)_|SG\.|eyJ|npm_|pypi-|sk-ant-|sk-|AIza|GOCSPX-|ya29\.|1//0|sq0[a-z]{{3}}-|dop_v1_|hf_|shp[a-z]{{2}}_|SK(?=[a-f0-9]{{12}})|AC(?=[a-f0-9]{{12}})|AccountKey=))[A-Za-z0-9_/+=.-]{{12,}}|"
    r"(://[^/\s:@'\"]{1,64}:)[^/\s@'\"]{3,}(?=@)|(hooks\.slack\.com/services/)[\w/]+|(PRIVATE KEY-----)[^-]*[A-Za-z0-9+/]{8}[^-]*|"
    rf"(?i:((?:{_NAME})[\"']?\]?\s*{_IS}[bru]{{0,2}}[\"'`])([^\"'`\s]{{8,200}}))"
)
# A bot token, an API key with its data centre; and a line that is all Base64: the body of a key file.
_BARE = lazy(
    r"(?<![\w/])\d{8,10}:[\w-]{35}(?![\w-])|(?<!\w)[0-9a-f]{32}-us\d{1,2}(?!\w)|(?<![\w.])[MNO][\w-]{22,27}\.[\w-]{6}\.[\w-]{27,}"
    r"|^(?=[A-Za-z0-9+/=]*[0-9+/])(?<![^\n])[A-Za-z0-9+/=]{40,}$"
)
# Plausible by the rules of the number.
SSN = lazy(r"(?<![\d-])(?!000|666|9\d\d)(\d{3})-(?!00)(\d{2})-(?!0000)(\d{4})(?![\d-])")
_WRAPPING = lazy(r"^([\s\"'`+]*)(.*?)((?:\\n)?[\s\"'`,+;\\)]*)$", re.DOTALL)
_PIECE, _OVERLAP = 5_000, 500
_MASK_LIMIT = 4_000  # characters of a line that anything shows; reports cut far before


# What a line has to hold for any pattern above to match it. Searching for fixed text is fifty times faster than trying
# forty alternatives at every character, and nearly every line of code holds none of it.
_WORDS = ("pass", "pwd", "secret", "token", "key", "credential", "connection")
_MARKS = (
    "AKIA", "ASIA", "A3T", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "xox", "k_live", "k_test", "hooks.slack", "SG.", "AC", "SK", "eyJ", "npm_", "pypi-",
    "sq0", "-us", "AccountKey=", "PRIVATE KEY", "sk-", "AIza", "GOCSPX-", "1//0", "ya29.", "://", "dop_v1_", "hf_", "shp",
)  # fmt: skip
_SHORTEST_BARE = 35  # characters: every pattern that needs neither a word nor a mark is at least this long
_RUN = lazy(rf"(?<![A-Za-z0-9_+/=.:-])[A-Za-z0-9_+/=.:-]{{{_SHORTEST_BARE}}}")


def plain(line: str, words: tuple[str, ...] = _WORDS, marks: tuple[str, ...] = _MARKS, *, runs: bool = True) -> bool:
    """Whether no credential can be in the line, by what it does not hold.

    ``words``, ``marks`` and ``runs`` say what is worth looking for: what the whole file lacks is not.
    """
    if words:
        folded = line.casefold()
        for word in words:
            if word in folded:
                return False
    for mark in marks:
        if mark in line:
            return False
    if "gl" in line and "-" in line:
        return False
    return not (runs and _RUN.search(line))


def mask(line: str) -> str:
    """Hide the values of anything that looks like a credential, and social security numbers; what remains tells which it is."""
    shown = line[:_MASK_LIMIT] if plain(line) else _hidden(line)
    return SSN.sub("[hidden]", shown) if "-" in shown else shown


_VALUE = lazy(r"[\w.+-]+@[\w.-]+|(?<![A-Za-z])[A-Z][a-z]+|\d")


def unnamed(line: str) -> str:
    """Hide what may name a person: digits, e-mail addresses and capitalised words. What is left shows the shape of the row."""
    return _VALUE.sub(lambda m: "*" if len(m[0]) == 1 else f"{m[0][0]}***", mask(line))


def _hidden(line: str) -> str:
    def hide(match: re.Match[str]) -> str:
        prefix = next((g for g in match.groups()[:5] if g), "")
        value = match.group(6)
        if value is not None and (_PLACEHOLDER.search(value) or _CODE_VALUE.match(value)):
            return match.group(0)
        return prefix + "[hidden]"

    line = _MASKED.sub(hide, line[:_MASK_LIMIT])
    spare = _DEFAULTED.search(line)
    if spare and _is_secret_value(spare.group(2), spare.group(3)):
        line = line[: spare.start(3)] + "[hidden]" + line[spare.end(3) :]
    bare = _UNQUOTED.search(line)
    if bare and _is_secret_value(bare.group(1), bare.group(3)):
        line = line[: bare.start(3)] + "[hidden]" + line[bare.end(3) :]
    parts = _WRAPPING.match(line)
    if parts is None:
        return line
    return parts.group(1) + _BARE.sub("[hidden]", parts.group(2)) + parts.group(3)


def spans(line: str) -> Iterator[tuple[int, int]]:
    """Where values stand that may be credentials: start and end of each, also of those that a finding would need more for.

    For text that leaves the machine, where hiding too much costs little. May overlap.
    """
    if plain(line):
        return
    for match in _MASKED.finditer(line):
        keep = next((group for group in match.groups()[1:5] if group), "")
        if not (match.group(6) and (_STAND_IN.search(match.group(6)) or _CODE_VALUE.match(match.group(6)))):
            yield match.start() + len(keep), match.end()
    for pattern in (_DEFAULTED, _UNQUOTED):
        for match in pattern.finditer(line):
            if _is_secret_value(match.group(2) or match.group(1), match.group(3)):
                yield match.span(3)
    for match in _BARE.finditer(line):
        yield match.span()
    if _KNOWN.search(line):
        for _, value in _detected(line):
            start = line.find(value)
            while start >= 0:
                yield start, start + len(value)
                start = line.find(value, start + len(value))


def scan(policy: Policy, check: Check, change: FileChange) -> list[Claim]:
    """Return claims for credentials on lines that the change adds."""
    if change.after is None or change.opaque or _LOCKFILES.search(change.path):
        return []
    text = text_of(change.after)
    folded = text.casefold()
    words, marks = tuple(w for w in _WORDS if w in folded), tuple(m for m in _MARKS if m in text)
    runs = _RUN.search(text) is not None
    lines = text.split("\n")
    added = [n for hunk in change.hunks for n in hunk.added]
    out: list[Claim] = []
    in_test = bool(path_classes(change.path) & {"tests", "docs", "seeds"})
    config = _CONFIG.search(change.path) is not None
    for number in added:
        if number > len(lines):
            continue
        line = lines[number - 1]
        for kind, value in () if plain(line, words, marks, runs=runs) else _found(line, config=config):
            if kind == _PEM and not _KEY_BODY.search("\n".join(lines[number - 1 : number + 2])):
                continue  # code that looks for keys, or text about them
            out.append(
                Claim(
                    rule=policy.id, path=change.path, unit="<module>", start_line=number, end_line=number, quote=mask_value(line, value),
                    identity=f"{kind}:{_tag(value)}",
                    message=(check.message or "{value} is written into the code").replace("{value}", f"{_article(kind)} ({value[:4] if len(value) > 12 else ''}…, {len(value)} characters)"),
                    hit=Hit.SUSPECT if in_test and kind == "credential" else Hit.VIOLATION, fix=check.fix or policy.rule.fix,
                    severity=Severity.MEDIUM if in_test else None,
                )
            )  # fmt: skip
            break
    return out


def mask_value(line: str, value: str) -> str:
    """Hide one known value, then everything else that looks like one."""
    if value and "PRIVATE KEY" not in value:
        # A detector may give back a part of the token, such as a JWT without its signature.
        line = re.sub(rf"{re.escape(value)}[\w./+=-]*", "[hidden]", line)
    shown = mask(line)
    return shown if "[hidden]" in shown else shown[:200] + " [hidden]"


def _found(line: str, *, config: bool) -> Iterator[tuple[str, str]]:
    """Look at a long line piece by piece: what a detector costs grows with the length, and padding must not hide anything."""
    for start in range(0, max(len(line), 1), _PIECE - _OVERLAP):
        yield from _secrets(line[start : start + _PIECE], config=config)
        if start + _PIECE >= len(line):
            return


def _tag(value: str) -> str:
    """A short digest: identity must tell two secrets apart without containing either."""
    from agentreview.canonical import digest

    return digest(value.encode("utf-8", "surrogateescape"), size=6)[3:]


def _article(kind: str) -> str:
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def _secrets(line: str, *, config: bool) -> Iterator[tuple[str, str]]:
    if _KNOWN.search(line):
        yield from _detected(line)
    match = _ASSIGNED.search(line) or (_UNQUOTED.search(line) if config else None)
    named = (match.group(1), match.group(3)) if match else None
    if named is None and (spare := _DEFAULTED.search(line)):
        named = (spare.group(2), spare.group(3))
    if named is not None and _is_secret_value(*named):
        yield "credential", named[1]


def _is_secret_value(name: str, value: str) -> bool:
    if (
        not value.isascii()  # a word of another language: "api_key": "API-Schlüssel"
        or _PLACEHOLDER.search(value)
        or _CODE_VALUE.match(value)
        or value.startswith(("$", "%", "{", "env(", "vault:", "sops:", "arn:", "!"))
    ):
        return False
    last = name.rsplit(".", 1)[-1].lower()
    if re.search(
        r"(?:url|uri|path|file|name|type|length|policy|field|header|param|prefix|format|regex|pattern|label|hint|placeholder|expir\w*|ttl|id|endpoint|class|kind|count|version|algorithm|alg|scheme|label|title|message|text|key_?name|session_key|cache_key|storage_key|cookie|code)$",
        last,
    ):
        return False
    classes = sum(bool(re.search(p, value)) for p in (r"[a-z]", r"[A-Z]", r"\d", r"[^A-Za-z0-9]"))
    return classes >= 3 or (classes >= 2 and _entropy(value) >= 3.0)


def _entropy(value: str) -> float:
    from math import log2

    total = len(value)
    return -sum(n / total * log2(n / total) for n in (value.count(c) for c in set(value)))


_detectors: list[tuple[str, object]] = []


def _detected(line: str) -> Iterator[tuple[str, str]]:
    """Ask detect-secrets' detectors. Imported only now: they cost more than a whole review."""
    if not _detectors:
        import importlib
        import inspect

        from detect_secrets.plugins.base import BasePlugin

        for name in _PLUGINS:
            module = importlib.import_module(f"detect_secrets.plugins.{name}")
            for _, cls in inspect.getmembers(module, inspect.isclass):
                if issubclass(cls, BasePlugin) and cls.__module__ == module.__name__:
                    _detectors.append((str(cls.secret_type), cls()))
    for kind, detector in _detectors:
        for value in detector.analyze_string(line):  # type: ignore[attr-defined]
            found = value if isinstance(value, str) else str(value)
            if len(found) < 8:  # some detectors give back the token's prefix alone
                whole = re.search(re.escape(found) + r"[-_][\w-]{16,}", line)
                found = whole.group() if whole else found
            if kind.startswith("Basic Auth") and re.search(r"[{}<>$%]", found.replace("%40", "")):
                continue  # f"amqp://{user}:{password}@{host}": the value is filled in elsewhere
            if (
                found
                and (kind == _PEM or not _PLACEHOLDER.search(found.removeprefix("AKIA")))
                and not line.rstrip().endswith(("EXAMPLE'", 'EXAMPLE"'))
            ):
                yield kind, found
    for known in _FALLBACK.finditer(line):
        if not _STAND_IN.search(known.group()):  # a token of letters only is a token
            yield "API token", known.group()


# Newer token formats that detect-secrets 1.5 does not know.
_FALLBACK = lazy(
    r"sk-ant-[\w-]{20,}|github_pat_\w{22,}|GOCSPX-[\w-]{20,}|AIza[\w-]{35}|ya29\.[\w-]{20,}|1//0[\w-]{30,}|glpat-[\w-]{20,}|dop_v1_[a-f0-9]{64}|hf_[A-Za-z0-9]{30,}|shpat_[a-fA-F0-9]{32}|"
    r"(?<=services/)T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/\w{20,}"
)
