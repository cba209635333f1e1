"""Code with values in it that must not leave the machine: credentials and identifiers of people, as code really writes them."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

BASE62 = string.ascii_letters + string.digits
FIRST = "Maria Tomasz Aisha Wei Ingrid Mateo Priya Owen Fatima Kenji Zoë Søren Chloé Liam Noor Yusuf".split()
LAST = "Gonzalez Kowalski Rahman Zhang Lindqvist Alvarez Natarajan McCarthy O'Brien Tanaka Müller Ferrari Novak Haddad Cohen Diallo".split()
DICE = "copper velvet harbor walnut saddle meadow pepper anvil lantern orchid puddle trumpet glacier basket fennel quartz".split()
STREETS = ("Maple Street", "Old Mill Road", "Cedar Grove Avenue", "Harbor View Drive", "St Johns Lane")
EPOCHS = ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----")


@dataclass(frozen=True)
class Plant:
    """Code with something in it that must not leave; ``values`` are the parts, none of which may be seen."""

    code: str
    values: tuple[str, ...]


def run(rng: random.Random, alphabet: str, size: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(size))


def digits(rng: random.Random, size: int) -> str:
    return str(rng.randint(1, 9)) + run(rng, string.digits, size - 1)


def secret(rng: random.Random) -> Plant:
    """A token of a known form, a password under its name, a connection string, a key, or a bare random run."""
    upper = string.ascii_uppercase + string.digits
    value = rng.choice(
        [
            lambda: "AKIA" + run(rng, upper, 16),
            lambda: "ghp_" + run(rng, BASE62, 36),
            lambda: "glpat-" + run(rng, BASE62, 20),
            lambda: "sk-ant-" + run(rng, BASE62, 40),
            lambda: "xoxb-" + digits(rng, 12) + "-" + digits(rng, 12) + "-" + run(rng, BASE62, 24),
            lambda: "sk_live_" + run(rng, BASE62, 24),
            lambda: "AIza" + run(rng, BASE62, 35),
            lambda: "npm_" + run(rng, BASE62, 36),
            lambda: "eyJhbGciOiJIUzI1NiJ9.eyJ" + run(rng, BASE62, 40) + "." + run(rng, BASE62, 43),
            lambda: run(rng, BASE62, 32) + "7aB",
            lambda: run(rng, "0123456789abcdef", 38) + "a1",
        ]
    )()
    word = (
        run(rng, string.ascii_lowercase, 5) + digits(rng, 4) + rng.choice("!#%&*") + run(rng, string.ascii_uppercase, 2)
    )
    phrase = rng.choice(" -._").join(rng.sample(DICE, rng.randint(3, 6)))
    single = "".join(rng.sample(DICE, 2))[:12]
    forms = [
        (f'password = "{phrase}"', (phrase,)),
        (f"{{ username: 'ops', password: '{phrase}' }}", (phrase,)),
        (f'passphrase: "{phrase}"', (phrase,)),
        (f"DB_PASSWD = '{single}'", (f"'{single}'",)),
        (f'user.set(password="{single}")', (f'"{single}"',)),
        (f'API_TOKEN = "{value}"', (value,)),
        (f"const client = new Client({{ apiKey: '{value}' }});", (value,)),
        (f'private static final String SECRET = "{value}";', (value,)),
        (f"export DEPLOY_TOKEN={value}", (value,)),
        (f"  token: {value}", (value,)),
        (f'token := "{value}" // rotate me', (value,)),
        (f"curl -H 'Authorization: Bearer {value}' https://api.internal/v1", (value,)),
        (f'<property name="password" value="{value}"/>', (value,)),
        (f'DB_PASSWORD = "{word}"', (word,)),
        (f"db_password: '{word}',", (word,)),
        (f'connect(password="{word}", host=HOST)', (word,)),
        (f'os.environ.get("DB_PASSWORD", "{word}")', (word,)),
        (f'DATABASE_URL = "postgres://app:{word.replace("#", "x")}@db.internal:5432/app"', (word.replace("#", "x"),)),
    ]
    return Plant(*rng.choice(forms))


def private_key(rng: random.Random) -> Plant:
    lines = [run(rng, BASE62 + "+/", 64) for _ in range(4)] + [run(rng, BASE62, 18) + "=="]
    if rng.random() < 0.5:
        return Plant("\n".join(['KEY = """' + EPOCHS[0], *lines, EPOCHS[1] + '"""']), tuple(lines))
    return Plant("\n".join([EPOCHS[0], *lines, EPOCHS[1]]), tuple(lines))


def person(rng: random.Random) -> Plant:
    """One identifier of a person, as code, fixtures, documents and messages write it."""
    first, last = rng.choice(FIRST), rng.choice(LAST)
    year, month, day = rng.randint(1921, 2019), rng.randint(1, 12), rng.randint(1, 28)
    born = rng.choice(
        [
            f"{year}-{month:02}-{day:02}",
            f"{month:02}/{day:02}/{year}",
            f"{day}.{month}.{year}",
            f"{year}{month:02}{day:02}",
        ]
    )
    ssn = f"{rng.randint(100, 899)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)}"
    phone = rng.choice(["({0}) {1}-{2}", "{0}-{1}-{2}", "{0}.{1}.{2}", "+1 {0} {1} {2}"]).format(
        rng.randint(201, 989), rng.randint(200, 999), rng.randint(1000, 9999)
    )
    mail = f"{first.lower().encode('ascii', 'ignore').decode()}.{digits(rng, 3)}@{rng.choice(['gmail.com', 'mercyhealth.org', 'mail.co.uk'])}"
    mrn = rng.choice(["", "A", "MR"]) + digits(rng, rng.randint(6, 9))
    plan = run(rng, string.ascii_uppercase, 3) + digits(rng, 9)
    home = f"{rng.randint(12, 9900)} {rng.choice(STREETS)}"
    card = luhn(rng)
    low, below = first.lower(), last.lower().replace("'", "")
    forms = [
        (f'first_name="{low}", last_name="{below}"', (f'"{low}"', f'"{below}"')),
        (f"{{ firstName: '{low}', lastName: '{below}' }}", (f"'{low}'", f'\'{below}\'')),
        (f'"patient_name": "{low} {below}"', (f'"{low} {below}"', f" {below}\"")),
        (f'fullName = "{low} {below}"', (f'"{low} {below}"', f' {below}"')),
        (f":surname => '{below}',", (f"'{below}'",)),
        (f"  first_name: {low}", (f": {low}",)),
        (f"INSERT INTO people (id, first_name, last_name) VALUES (7, '{low}', '{below}');", (f"'{low}'", f"'{below}'")),
        (f"insert into people (id, last_name)\n  values (7, '{below}'),\n  (8, '{below.upper()}');", (f"'{below}'", f"'{below.upper()}'")),
        (f"id,first_name,last_name,visits\n17,{low},{below},4\n18,{first},{below},2", (f",{low},", f",{below},", f",{first},")),
        (f'patient = Patient(ssn="{ssn}")', (ssn,)),
        (f"const row = {{ id: 7, ssn: '{ssn}' }};", (ssn,)),
        (f'# call about {ssn} before Friday', (ssn,)),
        (f'ssn = {ssn.replace("-", "")}', (ssn.replace("-", ""),)),
        (f'{{"socialSecurityNumber": "{ssn.replace("-", "")}"}}', (ssn.replace("-", ""),)),
        (f'Patient.objects.create(mrn="{mrn}", active=True)', (mrn,)),
        (f"mrn: '{mrn}',", (mrn,)),
        (f'patient.setMrn("{mrn}");', (mrn,)),
        (f'  "medicalRecordNumber": "{mrn}",', (mrn,)),
        (f"// MRN {mrn} fails, see the ticket", (mrn,)),
        (f"<mrn>{mrn}</mrn>", (mrn,)),
        (f"mrn: {mrn}", (mrn,)),
        (f'Mrn: "{mrn}",', (mrn,)),
        (f'row["medical_record_number"] = "{mrn}"', (mrn,)),
        (f'member_id = "{plan}"', (plan,)),
        (f'subscriberId: "{plan}",', (plan,)),
        (f'"health_plan_number": "{plan}"', (plan,)),
        (f'insurance.put("policy_number", "{plan}");', (plan,)),
        (f"{{ claim_number: '{plan}' }}", (plan,)),
        (f'medicare = "1EG4-TE5-MK{digits(rng, 2)}"', ()),
        (f'dob="{born}"', (born,)),
        (f"birth_date: '{born}',", (born,)),
        (f'"dateOfBirth": "{born}"', (born,)),
        (f"# DOB {born}", (born,)),
        (f"<birthDate>{born}</birthDate>", (born,)),
        (f'patient.setBirthDate(LocalDate.parse("{born}"));', (born,)),
        (f'phone = "{phone}"', (phone,)),
        (f"// ring {phone} after five", (phone,)),
        (f"phone: {phone}", (phone,)),
        (f'mobile_number: "{digits(rng, 10)}"', ()),
        (f'send_reminder("{mail}")', (mail,)),
        (f"  - {mail}", (mail,)),
        (f"// reported by {mail}", (mail,)),
        (f'address = "{home}"', (home,)),
        (f"lives at {home}", (home,)),
        (f'first_name="{first}", last_name="{last}"', (f'"{first}"', f'"{last}"')),
        (f"{{ firstName: '{first}', lastName: '{last}' }}", (f"'{first}'", f"'{last}'")),
        (f'"family_name": "{last}"', (last,)),
        (f'patient_name = "{first} {last}"', (f"{first} {last}", last)),
        (f"patientName: '{last}, {first}'", (last, first)),
        (f'Patient(name="{first} {last}")', (last,)),
        (f"first_name: {first}", (first,)),
        (f"<lastName>{last}</lastName>", (last,)),
        (f'("{first} {last}", "{born}", "{ssn}")', (first, last, born, ssn)),
        (f"{last},{first},{born},{phone}", (last, first, born, phone)),
        (f'INSERT INTO patients (name, dob, ssn) VALUES (\'{first} {last}\', \'{born}\', \'{ssn}\');', (last, born, ssn)),
        (f"PID|1||{mrn}||{last.replace('ü', 'u')}^{'Ann'}||{year}{month:02}{day:02}|F", (last.replace("ü", "u"), f"{year}{month:02}{day:02}")),
        (f"# Patient {first} {last} (MRN {mrn}), DOB {born}", (last, mrn, born)),
        (f'card_number = "{card}"', (card,)),
    ]  # fmt: skip
    return Plant(*rng.choice(forms))


def luhn(rng: random.Random) -> str:
    body = "4" + run(rng, string.digits, 14)
    total = sum(int(c) if at % 2 else (int(c) * 2 - 9 if int(c) > 4 else int(c) * 2) for at, c in enumerate(body))
    return body + str(-total % 10)
