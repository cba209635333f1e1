"""Where in a line credentials and identifiers of people stand, widely.

What a policy reports must be right; what is hidden before it leaves the machine may be more than that.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from agentreview.lazyre import lazy

# -- Credentials, beyond those that the policy knows by name or shape

_RUN = lazy(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_=-]{20,}")
_HEX = lazy(r"(?<![0-9A-Za-z])(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{32,}(?![0-9A-Za-z])")
_NAMED_SECRET = lazy(
    r"""(?i)(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)s?["'`]?\]?\s*(?::=|=>|==|=|:|,)\s*[bru]{0,2}["'`]([^"'`\s]{6,200})["'`]"""
)
_BARE_SECRETS = (
    lazy(
        r"(?i:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|credential)s?\s*[=:]\s*(?!(?:[A-Z][a-z]+\d*){2,}\b)((?=[\w+/=-]*\d)(?=[\w+/=-]*[a-z])(?=[\w+/=-]*[A-Z])[\w+/=-]{16,500})"
    ),
    lazy(r"""(?i)[?&;](?:password|passwd|pwd|secret|token|api_?key|sig(?:nature)?)=([^&\s"'<>{}$]{4,200})"""),
    lazy(r"""(?:Bearer|Basic|Token)\s+((?=[^\s"'`]{0,80}[\d=])[\w.~+/=-]{12,2000})"""),
    lazy(
        r"""(?i)(?:pass(?:word|phrase)|secret(?:[_-]?key)?)["'`]?\]?\s*(?::=|=>|=|:)\s*["'`]((?=[^"'`\n]{0,100}[\d@!#%^&*])[^"'`\n]{8,100})["'`]"""
    ),
    lazy(r"""(?i)passphrase["'`]?\]?\s*(?::=|=>|=|:)\s*["'`]([^"'`\n]{8,100})["'`]"""),
    lazy(
        r"""^[\s#/*>-]{0,60}[\w.-]{0,40}(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key)\s*:\s+((?=\S*\d)[^\sA-Z(){}\[\].;,"'`$<]{8,200}|[a-z]{16,200})\s*$"""
    ),
)
# Words alone, under a key that says password: several that make no sentence, or one that says nothing about passwords.
_WORDS = lazy(
    r"""(?i:(?<![A-Za-z])(?:\w{0,30}_)?(?:password|passwd|passphrase|pwd))["'`]?\]?\s{0,4}(?::=|=>|=|:)\s{0,4}["'`]([a-z]{3,12}|[a-z]{2,12}(?:[ ._-][a-z]{2,12}){2,9})["'`]"""
)
_SENTENCE = frozenset(
    "a an and are as at be been by can cannot choose current do does enter enough field for forgot from has have here if in incorrect invalid is it "
    "least login long match minimum missing must my new no not of old on one or our please policy provide provided required reset "
    "should strength that the this to too use user username was weak will with wrong you your "
    # and what stands for a type, a kind or a rule
    "any argon base basic bcrypt bearer boolean char confirm confirmation default disabled email enabled encoded encrypted false hash hashed hidden "
    "input key length long max min none null nullable number object oneline optional password passwords passwd passphrase pbkdf plain plaintext prompt "
    "pwd query redacted required scrypt secret sensitive show string text token true type undefined unknown value varchar verify".split()
)
_HARMLESS = lazy(
    r"(?i)^[a-z]{1,12}$|^[A-Z_]+$|example|changeme|placeholder|your[_-]|<[^>]+>|x{4,}|\*{3,}|\$\{|\{\{|process\.env|os\.environ"
)

# -- Data of people. A key is the word in front, a value what follows it in code, JSON, YAML, XML and prose.

_SEP = r"""["'`\])]{0,3}\s{0,4}(?::=|=>|==|=|:|,|\(|>|\||\s|#|is\b|no\.?){0,3}\s{0,4}[(\[]?\s{0,2}[bruf]{0,2}["'`]?"""
_ID_KEYS = (
    r"mrn|medical[ _-]?record(?:[ _-]?(?:number|num|no|id))?|chart[ _-]?(?:number|no|id)|nhs[ _-]?(?:number|no)|ssn|social[ _-]?security(?:[ _-]?(?:number|no))?|itin|"
    r"medicare[ _-]?(?:number|id|no)|medicaid[ _-]?(?:number|id|no)|mbi|hicn|member[ _-]?(?:id|number|no)|subscriber[ _-]?(?:id|number|no)|beneficiary[ _-]?(?:id|number|no)|"
    r"(?:health[ _-]?)?plan[ _-]?(?:id|number|no)|policy[ _-]?(?:number|no|holder[ _-]?id)|insurance[ _-]?(?:id|number|no|member[ _-]?id|policy[ _-]?number)|group[ _-]?(?:number|no)|"
    r"claim[ _-]?(?:number|id|no)|authorization[ _-]?number|account[ _-]?(?:number|no)|patient[ _-]?(?:id|number|no|identifier)|empi|hospital[ _-]?number|passport(?:[ _-]?(?:number|no))?|"
    r"(?:driver'?s?|driving)[ _-]?licen[cs]e(?:[ _-]?(?:number|no))?|licen[cs]e[ _-]?(?:number|no|plate)|health[ _-]?card[ _-]?number|aadhaar|national[ _-]?id|device[ _-]?serial(?:[ _-]?number)?|dea[ _-]?number|iban|card[ _-]?number"
)
_ID = lazy(
    rf"(?i)(?:{_ID_KEYS}){_SEP}((?=[A-Za-z0-9-]{{0,12}}\d)(?-i:[A-Z0-9])[A-Za-z0-9-]{{3,30}}(?: \d{{2,4}}){{0,3}})(?![\w(\[]|\.\w)"
)
_PHONE_NAMED = lazy(
    rf"(?i)(?:phone|mobile|cell|fax|telephone|tel)(?:[ _-]?(?:number|no))?{_SEP}(\+?[\d(][\d .()-]{{5,18}}\d)"
)
_ZIP_NAMED = lazy(
    rf"(?i)(?:zip|zip[ _-]?code|postal[ _-]?code|postcode|pincode){_SEP}([A-Z0-9][A-Z0-9 -]{{3,9}})(?=[\"'`<,;\s)]|$)"
)
_ADDRESS_NAMED = lazy(
    r"""(?i)(?:address|street|addr)(?:[ _-]?(?:line)?[ _-]?\d?)["'`]?\]?\s{0,4}(?::=|=>|==|=|:|,|\()\s{0,4}[bruf]{0,2}(["'`])((?=[^"'`\n]{0,80}\d)[^"'`\n]{5,120})\1"""
)
_STREET = lazy(
    r"\b\d{1,5} (?:[A-Z][A-Za-z']{1,20} ){1,4}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Terrace)\b\.?"
)
_SSN = lazy(r"(?<![\w-])\d{3}[- ]\d{2}[- ]\d{4}(?![\w-])")
_MBI = lazy(r"(?<![A-Za-z0-9])[1-9][A-Z][A-Z0-9]\d-?[A-Z][A-Z0-9]\d-?[A-Z]{2}\d{2}(?![A-Za-z0-9])")
_PHONE = lazy(
    r"(?<![\w.-])(?:\+?1[ .-]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}(?![\w-])|(?<![\w.+-])\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4}(?![\w-])"
)
_CARD = lazy(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_EMAIL = lazy(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{2,80}\.[A-Za-z]{2,12}(?![A-Za-z0-9])")
_RESERVED = lazy(r"(?i)@(?:[\w.-]+\.)?(?:example\.(?:com|org|net|edu)|test|example|invalid|localhost|local)$")
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\.?"
_DATE = (
    r"(?:(?:18|19|20)\d\d[-/., ]{1,2}\d{1,2}[-/., ]{1,2}\d{1,2}|\d{1,2}[/.-]\d{1,2}[/.-](?:(?:18|19|20)\d\d|\d\d)(?!\d)|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)|"
    rf"(?:19|20)\d\d, ?Month\.\w{{3,9}}, ?\d{{1,2}}|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH},? (?:19|20)\d\d|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d\d)"
)
_ANY_DATE = lazy(rf"(?<![\w.-]){_DATE}")
_DOB = lazy(
    r"(?i)(?:dob|birth[ _-]?(?:date|day|time)|date[ _-]?of[ _-]?(?:birth|death)|dateofbirth|born(?:[ _-]?(?:on|at))?|death[ _-]?date|admission[ _-]?date|discharge[ _-]?date)"
    rf"[^\n0-9]{{0,24}}?({_DATE})"
)
_NAME = r"[^\W\d_][\w.'\u2019-]{0,30}(?: [^\W\d_][\w.'\u2019-]{0,30}){0,3}"
_NAME_KEYS = (
    r"first[ _-]?name|last[ _-]?name|full[ _-]?name|given[ _-]?name|family[ _-]?name|middle[ _-]?name|maiden[ _-]?name|preferred[ _-]?name|surname|forename|patient(?:[ _-]?name)?|member[ _-]?name|subscriber[ _-]?name|"
    r"guarantor(?:[ _-]?name)?|beneficiary[ _-]?name|next[ _-]?of[ _-]?kin|emergency[ _-]?contact(?:[ _-]?name)?|family|given"
)
_NAMED = lazy(
    rf"""(?i)({_NAME_KEYS})["'`]?\]?\s{{0,4}}(?::=|=>|==|=|:|,|\()\s{{0,4}}\[?[bruf]{{0,2}}(["'`])({_NAME}|[^"'`\n]{{1,10}}, ?[^"'`\n]{{1,30}})\2"""
)
_NAMED_BARE = lazy(
    rf"(?i)^[\s#/*>-]{{0,60}}(?:\w{{0,30}}?)({_NAME_KEYS})\s{{0,4}}:\s{{1,4}}({_NAME})\s*$|<(?:\w+:)?({_NAME_KEYS})[^<>\n]{{0,60}}>({_NAME})<"
)
_CERTAIN_NAME_KEYS = (
    r"first[ _-]?name|last[ _-]?name|full[ _-]?name|given[ _-]?name|family[ _-]?name|middle[ _-]?name|maiden[ _-]?name|surname|forename|patient[ _-]?name|"
    r"member[ _-]?name|subscriber[ _-]?name|guarantor[ _-]?name|beneficiary[ _-]?name|next[ _-]?of[ _-]?kin|emergency[ _-]?contact[ _-]?name"
)
_LOWER_NAMED = lazy(
    rf"""(?i:(?<![A-Za-z])(?:\w{{0,30}}_)?({_CERTAIN_NAME_KEYS}))["'`]?\]?\s{{0,4}}(?::=|=>|==|=|:)\s{{0,4}}[bruf]{{0,2}}(["'`])((?=[^"`]{{2}})[^\W\d_A-Z]{{1,25}}(?:['\u2019 -][^\W\d_A-Z]{{1,25}}){{0,4}})\2"""
)
_LOWER_BARE = lazy(
    rf"(?i:^[\s#/*>-]{{0,60}}(?:\w{{0,30}}_)?(?:{_CERTAIN_NAME_KEYS}))\s{{0,4}}:\s{{1,4}}([^\W\d_A-Z]{{2,25}}(?:['\u2019 -][^\W\d_A-Z]{{1,25}}){{0,3}})\s*$"
)
_NO_NAME = frozenset(
    "name names first last full given family middle maiden surname forename patient member subscriber guarantor beneficiary contact kin user users "
    "fname lname column field label title string str text char varchar keyword citext unicode bool boolean int integer number object array any null none "
    "nil undefined true false required optional unknown default asc desc ascending descending exact iexact contains icontains startswith endswith like "
    "ilike eq gt lt lower upper trim capitalize hidden readonly disabled nullable unique index primary encrypted redacted masked anonymous removed "
    "width auto left right center sort order filter search input".split()
)
_NAME_PAIR = lazy(
    r"""(?<![A-Za-z])[Nn]ame["'`]?\]?\s{0,4}(?::=|=>|==|=|:|,|\()\s{0,4}[bruf]{0,2}(["'`])([A-Z][\w'\u2019-]{1,30}(?: [A-Z][\w.'\u2019-]{0,30}){1,3})\1"""
)
_QUOTED_NAME = lazy(
    r"""(["'`])([A-Z][A-Za-zÀ-ÿ'\u2019-]{1,30}(?: [A-Z][\w.'\u2019-]{0,30}){0,3}|[A-Z][A-Za-zÀ-ÿ'\u2019-]{1,30}, [A-Z][a-z]{1,30})\1"""
)
_TITLED = lazy(
    r"(?<![A-Za-z])(?:[Pp]atient|Mr|Mrs|Ms|Dr)\.? ([A-Z][A-Za-zÀ-ÿ'\u2019-]{1,30}(?: [A-Z][A-Za-zÀ-ÿ'\u2019-]{0,30}){1,2})"
)
_CELL_NAME = lazy(
    r"(?:^[\s#/*>;-]{0,60}|(?<=[,;\t|]))\s?([A-Z][A-Za-zÀ-ÿ'\u2019-]{1,30}(?: [A-Z][A-Za-zÀ-ÿ'\u2019-]{1,30}){0,2})\s?(?=[,;\t|]|$)"
)
_HL7_NAME = lazy(r"(?<=\|)([A-Z][A-Za-z'-]{1,30}\^[A-Z][A-Za-z'-]{1,30}(?:\^[A-Za-z.]{0,20}){0,3})")
_HL7_DATE = lazy(r"(?<=\|)((?:18|19|20)\d{6})(?=\|)")
_NOT_ADDRESS = lazy(r"(?i)^(?:\w+://|[\d.:]+$|0x)")
_ID_WORD = lazy(rf"(?i)(?:{_ID_KEYS})")
_QUOTED_NUMBER = lazy(r"""(["'`])([A-Za-z]{0,4}-?\d[\d -]{3,20}\d)\1""")
_LONG_NUMBER = lazy(r"""(["'`])(\d{9,12})\1""")
_PERSON_WORD = lazy(r"(?i)patient|person|member|subscriber|beneficiar|guarantor")
_LABELS = frozenset(
    "string str text char varchar none null undefined true false required optional unknown patient practitioner person user bundle".split()
)


_BETWEEN = lazy(r"[^\w]|_")
_HEX_DIGITS = frozenset("0123456789abcdef")


def spans(line: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and kind of each value to hide. May overlap."""
    from agentreview.policies import secrets

    for start, end in secrets.spans(line):
        yield start, end, "SECRET"
    for match in _NAMED_SECRET.finditer(line):
        if not _HARMLESS.search(match[1]):
            yield (*match.span(1), "SECRET")
    for pattern in _BARE_SECRETS:
        for match in pattern.finditer(line):
            yield (*match.span(1), "SECRET")
    for match in _WORDS.finditer(line):
        if not _words(match[1]) & _SENTENCE:
            yield (*match.span(1), "SECRET")
    for match in _RUN.finditer(line):
        if _random(match[0]):
            yield (*match.span(), "SECRET")
    for match in _HEX.finditer(line):
        yield (*match.span(), "SECRET")
    people = list(_people(line))
    yield from people
    if people or _row(line):
        yield from _beside(line)


def _random(run: str) -> bool:
    """Whether letters, digits and cases alternate as they do in no name. A capital belongs to the letters after it."""
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" if c.islower() else "s" for c in run]
    if "d" not in kinds or not ("u" in kinds or "l" in kinds) or not set(run) - _HEX_DIGITS:
        return False
    changes = sum(a != b for a, b in pairwise(kinds) if "s" not in (a, b) and (a, b) != ("u", "l"))
    return changes >= 0.33 * (len(run) - 1)


def _people(line: str) -> Iterator[tuple[int, int, str]]:
    """Values that identify a person by themselves, or by the word in front of them."""
    digits = any(char.isdigit() for char in line)
    if digits:
        for pattern, kind in (
            (_SSN, "SSN"),
            (_MBI, "ID"),
            (_PHONE, "PHONE"),
            (_STREET, "ADDRESS"),
        ):
            for match in pattern.finditer(line):
                yield (*match.span(), kind)
        for pattern, kind in ((_ID, "ID"), (_DOB, "DATE"), (_PHONE_NAMED, "PHONE"), (_ZIP_NAMED, "ZIP")):
            for match in pattern.finditer(line):
                if any(char.isdigit() for char in match[1]):
                    yield (*match.span(1), kind)
        for match in _ADDRESS_NAMED.finditer(line):
            if not _NOT_ADDRESS.search(match[2]):
                yield (*match.span(2), "ADDRESS")
        numbers = _QUOTED_NUMBER if _ID_WORD.search(line) else _LONG_NUMBER
        for match in numbers.finditer(line):
            yield (*match.span(2), "ID")
        for match in _CARD.finditer(line):
            if _luhn(match[0]):
                yield (*match.span(), "CARD")
    if "@" in line:
        for match in _EMAIL.finditer(line):
            if not _RESERVED.search(match[0]):
                yield (*match.span(), "EMAIL")
    for match in _NAMED.finditer(line):
        if _person(match[1], match[3]):
            yield (*match.span(3), "NAME")
    for match in _NAMED_BARE.finditer(line):
        group = 2 if match[2] else 4
        if _person(match[group - 1], match[group]):
            yield (*match.span(group), "NAME")
    for match in _NAME_PAIR.finditer(line):
        yield (*match.span(2), "NAME")
    for pattern, group in ((_LOWER_NAMED, 3), (_LOWER_BARE, 1)):
        for match in pattern.finditer(line):
            if not _words(match[group]) & _NO_NAME:
                yield (*match.span(group), "NAME")
    if "|" in line:
        for pattern, kind in ((_HL7_NAME, "NAME"), (_HL7_DATE, "DATE")):
            for match in pattern.finditer(line):
                yield (*match.span(1), kind)


def _row(line: str) -> bool:
    """Whether the line looks like a row about somebody: a date beside two names, or beside a word for a person."""
    if _ANY_DATE.search(line) is None:
        return False
    names = sum(match[2].casefold() not in _LABELS for match in _QUOTED_NAME.finditer(line))
    return names >= 2 or (names == 1 and _PERSON_WORD.search(line) is not None)


def _beside(line: str) -> Iterator[tuple[int, int, str]]:
    """On a line that identifies somebody: dates, and what looks like the name."""
    for match in _ANY_DATE.finditer(line):
        yield (*match.span(), "DATE")
    for match in _QUOTED_NAME.finditer(line):
        if match[2].casefold() not in _LABELS:
            yield (*match.span(2), "NAME")
    for pattern in (_TITLED, _CELL_NAME):
        for match in pattern.finditer(line):
            yield (*match.span(1), "NAME")


def _words(value: str) -> set[str]:
    return set(_BETWEEN.split(value))


def _person(key: str, value: str) -> bool:
    """Whether the value may be a name, not the label of the field, a type or a column."""
    if not value[:1].isupper() and not (value[:1].isalpha() and not value[:1].islower()):
        return False
    folded = "".join(char for char in value.casefold() if char.isalnum())
    return folded != "".join(char for char in key.casefold() if char.isalnum()) and folded not in _LABELS


def _luhn(text: str) -> bool:
    digits = [int(char) for char in text if char.isdigit()]
    doubled = [d if at % 2 == 0 else (d * 2 - 9 if d > 4 else d * 2) for at, d in enumerate(reversed(digits))]
    return len(set(digits)) > 2 and sum(doubled) % 10 == 0
