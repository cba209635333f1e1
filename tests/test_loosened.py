"""Controls that are still there and hold less: each kind of loss, and the rewrites that are none."""

from __future__ import annotations

import pytest

from agentreview.model import Hit
from agentreview.policies.loosened import losses
from agentreview.policies.loss import ACCESS, INPUT
from agentreview.syntax.parse import NotReviewed, parse_source
from engine import change, introduced, reviewed


def lost(before: str, after: str, path: str = "app/x.py") -> list[tuple[str, str]]:
    """(kind, text) of everything the units of the same name lost."""
    old, new = parse_source(path, before.encode()), parse_source(path, after.encode())
    assert not isinstance(old, NotReviewed)
    assert not isinstance(new, NotReviewed)
    now = {u.qualname: u for u in new.units}
    return [
        (loss.kind, loss.text)
        for unit in old.units
        if not unit.anonymous and unit.qualname in now
        for loss in losses(old, unit, new, now[unit.qualname])
    ]


REFUSAL = "def f(name, size):\n    if {}:\n        raise ValueError('no')\n    store(name)\n"


def test_an_alternative_of_a_refusal_that_is_gone_is_told():
    assert lost(REFUSAL.format("not name or '..' in name"), REFUSAL.format("not name")) == [(INPUT, "'..' in name")]


def test_a_refusal_that_asks_for_one_thing_more_is_told():
    found = lost(REFUSAL.format("not name"), REFUSAL.format("not name and size"))
    assert found == [(INPUT, "size is now needed as well")]


@pytest.mark.parametrize(
    "after",
    ["not name or '..' in name", "not name or '..' in name or size > 3", "not checked(name)", "name is None"],
    ids=["the same", "stricter", "rewritten", "rewritten without the rest"],
)
def test_a_refusal_that_is_as_strict_or_rewritten_is_not_told(after):
    assert lost(REFUSAL.format("not name or '..' in name"), REFUSAL.format(after)) == []


def test_a_condition_that_only_asks_whether_there_is_something_narrows_nothing():
    assert lost(REFUSAL.format("name.bad"), REFUSAL.format("name is not None and name.bad")) == []


def test_a_refusal_of_rows_of_another_parent_that_is_gone_is_told():
    before = "def f(task, comment):\n    if comment.task_id != task.id:\n        raise NotFound()\n    comment.save()\n"
    assert lost(before, "def f(task, comment):\n    comment.save()\n") == [(ACCESS, "comment.task_id != task.id")]


def test_a_permission_asked_about_nothing_in_particular_is_told():
    before, after = (
        f"def f(user, row):\n    if not user.has_perm('x'{arg}):\n        raise Denied\n" for arg in (", row", "")
    )
    assert lost(before, after) == [(ACCESS, "an argument of has_perm")]
    assert lost(after, before) == []


@pytest.mark.parametrize("after", ["Environment(loader=x)", "Environment(loader=x, autoescape=False)"])
def test_a_protecting_switch_that_is_off_is_told(after):
    assert lost("def f():\n    return Environment(loader=x, autoescape=True)\n", f"def f():\n    return {after}\n") == [
        (INPUT, "autoescape of Environment(…)")
    ]


def test_a_member_that_leaves_a_list_of_sensitive_names_is_told_and_one_that_joins_is_not():
    long, short = (f"def f(s):\n    s.dump(exclude={{{names}}})\n" for names in ("'A', 'B'", "'A'"))
    assert lost(long, short) == [(INPUT, "'B' in exclude")]
    assert lost(short, long) == []


def test_a_right_that_a_small_role_gains_is_told():
    found = lost("viewer_scopes = [READ]\n", "viewer_scopes = [READ, CONFIG_READ]\n")
    assert found == [(ACCESS, "viewer_scopes now also holds CONFIG_READ")]


def test_a_guard_taken_out_of_a_list_of_guards_is_told():
    before, after = (
        f"class C {{\n  @UseGuards({guards})\n  get() {{ return 1; }}\n}}\n"
        for guards in ("JwtGuard, RoleGuard", "JwtGuard")
    )
    assert (ACCESS, "RoleGuard in guards") in lost(before, after, "src/c.ts")


def test_a_query_without_the_condition_that_tied_it_to_its_parent_is_told():
    before = "def f(pk, project_id):\n    return Issue.objects.get(pk=pk, project_id=project_id)\n"
    assert lost(before, "def f(pk, project_id):\n    return Issue.objects.get(pk=pk)\n") == [
        (ACCESS, "project_id of the query")
    ]


def test_a_query_whose_condition_was_replaced_is_not_told():
    before = "def f(pk, a):\n    return Issue.objects.get(pk=pk, project_id=a)\n"
    assert lost(before, "def f(pk, a):\n    return Issue.objects.get(pk=pk, workspace_id=a)\n") == []


def test_a_query_condition_written_as_text_counts_too():
    before = 'package a\n\nfunc f(s *Session) { s.Where("id = ? AND task_id = ?", 1, 2).Get(x) }\n'
    after = 'package a\n\nfunc f(s *Session) { s.Where("id = ?", 1).Get(x) }\n'
    assert lost(before, after, "a.go") == [(ACCESS, "task_id of the query")]


def test_a_schema_that_no_longer_picks_its_fields_is_told():
    before = "export const a = client.schema(ZUser.pick({ name: true }));\n"
    found = lost(before, "export const a = client.schema(ZUser.partial());\n", "a.ts")
    assert found == [(ACCESS, "ZUser.pick(…)")]


def test_a_validator_with_a_refusal_less_is_told_unless_it_calls_something_new():
    before = "def validate_host(h):\n    if h.private:\n        raise ValueError('private')\n    if not h:\n        raise ValueError('x')\n"
    after = "def validate_host(h):\n    if not h:\n        raise ValueError('x')\n"
    assert (INPUT, "raise ValueError('private')") in lost(before, after)
    moved = "def validate_host(h):\n    refuse_private(h)\n    if not h:\n        raise ValueError('x')\n"
    assert lost(before, moved) == []


# -- guards by their names -----------------------------------------------------------------------------------------

GO = """package cmd

func (a *App) GetBounces(c echo.Context) error {{
	subID := getID(c)
{}	out, err := a.core.QueryBounces(subID)
	if err != nil {{
		return err
	}}
	return c.JSON(200, out)
}}
"""
GO_CHECK = """	if err := a.hasSubPerm(auth.GetUser(c), subID); err != nil {
		return err
	}
"""
TS = """
export async function setRetention(input, ctx) {{
  {}
  return await save(input.projectId, input.retention);
}}
"""


def test_a_check_nobody_told_us_about_is_known_by_its_name_and_by_what_follows_it():
    assert lost(GO.format(GO_CHECK), GO.format(""), "cmd/bounce.go") == [(ACCESS, "hasSubPerm(…)")]


def test_a_check_that_throws_by_its_name_is_missed_when_it_goes():
    check = "throwIfNoEntitlement({ entitlement: 'retention', user: ctx.user });"
    assert lost(TS.format(check), TS.format(""), "src/r.ts") == [(ACCESS, "throwIfNoEntitlement(…)")]


@pytest.mark.parametrize(
    "after",
    [
        "  throwIfNoEntitlement({ user: ctx.user, entitlement: 'x' });",
        "  logger.info('x');\n  throwIfNoEntitlement(ctx);",
    ],
    ids=["reworded", "moved down"],
)
def test_a_check_that_is_still_called_is_no_loss(after):
    before = TS.format("throwIfNoEntitlement({ entitlement: 'retention', user: ctx.user });")
    assert lost(before, TS.format(after), "src/r.ts") == []


def test_a_question_that_decides_nothing_is_no_guard():
    before = "def page(user):\n    shown = is_admin(user)\n    return render(shown)\n"
    assert lost(before, "def page(user):\n    return render(True)\n") == []


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ("def f(log, uri):\n    log.info(redact(uri))\n", "def f(log, uri):\n    log.info(uri)\n", "redact"),
        (
            "def save(row, body):\n    row.key = encrypt(body.secret)\n    row.save()\n",
            "def save(row, body):\n    row.key = body.secret\n    row.save()\n",
            "encrypt",
        ),
    ],
)
def test_a_value_that_is_no_longer_wrapped_and_still_used_is_told(before, after, name):
    assert (INPUT, f"{name}(…)") in lost(before, after)


def test_a_value_that_is_wrapped_by_something_else_now_or_gone_is_not():
    before = "def f(log, uri):\n    log.info(redact(uri))\n"
    assert lost(before, "def f(log, uri):\n    log.info(scrub_query(uri))\n") == []
    assert lost(before, "def f(log, uri):\n    log.info('called')\n") == []


def test_a_list_that_was_limited_to_what_the_user_may_and_no_longer_is():
    before = "def create(user, wanted):\n    ids = user.filter_lists_by_perm(wanted)\n    return make(ids)\n"
    after = "def create(user, wanted):\n    ids = wanted\n    return make(ids)\n"
    assert lost(before, after) == [(ACCESS, "filter_lists_by_perm(…)")]


def test_masking_that_is_switched_off_in_a_configuration_object_is_told():
    before = "Sentry.init({ integrations: [Sentry.replay({ maskAllText: true, blockAllMedia: true })] });\n"
    after = "Sentry.init({ integrations: [Sentry.replay({ maskAllText: true })] });\n"
    assert (INPUT, "blockAllMedia of replay(…)") in lost(before, after, "src/i.ts")


def test_a_guard_that_moved_to_another_function_of_the_change_is_silent():
    helper = "def load(user, pk):\n    ensure_member(user, pk)\n    return rows(pk)\n"
    before = "def show(user, pk):\n    ensure_member(user, pk)\n    return render(rows(pk))\n"
    after = "def show(user, pk):\n    return render(load(user, pk))\n\n\n" + helper
    assert introduced(change("app/x.py", before, after), rule="conduct.check-removed") == []
    alone = before.replace("    ensure_member(user, pk)\n", "")
    assert introduced(change("app/x.py", before, alone), rule="conduct.check-removed") != []


def test_a_check_at_the_edge_is_sure_and_one_of_a_form_is_a_question():
    code = "def send(client, hook):\n    {}\n    return client.post(hook.url)\n"
    for check, hit in (("validate_url(hook.url)", Hit.VIOLATION), ("validate_form(hook)", Hit.SUSPECT)):
        before, after = code.format(check), code.format("pass")
        found = [c.claim for c in reviewed(change("app/x.py", before, after)).claims if "guard" in c.claim.rule]
        assert [c.hit for c in found] == [hit], check


def test_a_check_whose_answer_is_kept_and_a_page_that_looks_after_itself_are_silent():
    before = "def f(url):\n    if not is_allowed(url):\n        return None\n    if not is_allowed(url):\n        return None\n    return get(url)\n"
    after = (
        "def f(url):\n    allowed = is_allowed(url)\n    if not allowed:\n        return None\n    return get(url)\n"
    )
    assert lost(before, after) == []
    page = "class Editor {\n  rules() {\n    %s\n    return this.rows;\n  }\n}\n"
    assert lost(page % "this.checkIfRulesHaveChanged();", page % "", "src/editor.ts") == []


def test_what_went_is_called_what_it_was_a_refusal_a_predicate_or_a_check():
    before = """\
from django.contrib.auth.decorators import permission_required
from django.http import HttpResponseForbidden, JsonResponse

from clinic.models import Patient


@permission_required("clinic.view_patient", raise_exception=True)
def one(request, pk):
    if pk not in request.user.patients:
        return HttpResponseForbidden()
    return JsonResponse({"name": Patient.objects.get(pk=pk, org=request.user.org).name})
"""
    for gone, told in (
        (
            "    if pk not in request.user.patients:\n        return HttpResponseForbidden()\n",
            "the refusal HttpResponseForbidden",
        ),
        (", org=request.user.org", "the tenant predicate of Patient.objects.get.name"),
        ('@permission_required("clinic.view_patient", raise_exception=True)\n', "permission_required"),
    ):
        claims = [c.claim for c in reviewed(change("app/x.py", before, before.replace(gone, ""))).claims]
        said = [c.fix.partition(" back in one,")[0] for c in claims if c.rule == "conduct.check-removed"]
        assert said == [f"Put {told}"], gone


def test_a_setter_named_for_what_is_allowed_is_no_limit():
    before = "class Loan {\n  Loan with(Terms t) {\n    return new Loan().setVariableTermsAllowed(t.variable()).setAmount(t.amount());\n  }\n}\n"
    after = "class Loan {\n  Loan with(Terms t) {\n    this.amount = t.amount();\n    return this;\n  }\n}\n"
    assert lost(before, after, "src/Loan.java") == []


TWICE = """{}
export function since(iso, now) {{
  {}
  return now - d;
}}
"""


def test_a_check_that_moved_into_a_function_of_the_file_that_is_called_now_is_no_loss():
    before = TWICE.format("", "const d = new Date(iso);\n  if (isValidDate(d) === false) return null;")
    helper = "function parsed(iso) {\n  const d = new Date(iso);\n  return isValidDate(d) ? d : null;\n}\n"
    assert lost(before, TWICE.format(helper, "const d = parsed(iso);\n  if (!d) return null;"), "src/d.ts") == []
    assert (INPUT, "isValidDate(…)") in lost(before, TWICE.format(helper, "const d = new Date(iso);"), "src/d.ts")


SQL = """package a

func byKey(ctx context.Context, q *Query) error {{
	query := "SELECT id, kind FROM invitations WHERE key = $1{}"
	return trx.Get(&row, query, q.Key)
}}
"""


def test_a_statement_without_the_condition_of_its_tenant_is_told():
    found = lost(SQL.format(" AND tenant_id = $2"), SQL.format(""), "a.go")
    assert found == [(ACCESS, "tenant_id of the query")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (" AND tenant_id = $2", " AND org_id = $2"),
        (" AND kind = $2", ""),
        ("", " AND tenant_id = $2"),
        (" AND tenant_id = $2", " and i.tenant_id in ($2, $3)"),
    ],
    ids=["by another", "not of an owner", "gained", "in other words"],
)
def test_a_statement_that_still_asks_whose_rows_they_are_is_not_told(before, after):
    assert lost(SQL.format(before), SQL.format(after), "a.go") == []


def test_a_condition_that_went_with_its_statement_is_not_told():
    after = SQL.format("").replace("FROM invitations", "FROM kinds")
    assert lost(SQL.format(" AND tenant_id = $2"), after, "a.go") == []


REDACTOR = """
export class RedactValues {{
  intercept(next) {{
    return next.handle((data) => redact(data, [{}].map((attribute) => ({{ attribute }}))));
  }}
}}
"""


def test_a_name_that_a_redactor_no_longer_goes_by_is_told():
    long, short = (REDACTOR.format(names) for names in ("'quantity', 'value', 'price'", "'quantity', 'value'"))
    assert lost(long, short, "src/redact.ts") == [(INPUT, "price among the names that intercept goes by")]
    assert lost(short, long, "src/redact.ts") == []
    assert lost(*(one.replace("RedactValues", "Columns") for one in (long, short)), "src/columns.ts") == []


MASK = """package a

func GetMaskedApp(app *App) *App {{
	app.Secret = "***"
{}	return app
}}
"""


def test_a_field_that_a_mask_no_longer_blanks_is_told():
    more = MASK.format('\tapp.Cert = "***"\n')
    assert lost(more, MASK.format(""), "a.go") == [(INPUT, "cert among the fields that GetMaskedApp blanks")]
    assert lost(more, more.replace('Cert = "***"', 'Cert = ""'), "a.go") == []


def test_a_record_that_is_answered_without_the_mask_around_it_is_told():
    before = "package a\n\nfunc (c *C) Get() {\n\tc.Ok(object.GetMaskedServer(server), 1)\n}\n"
    after = before.replace("object.GetMaskedServer(server)", "server")
    assert lost(before, after, "a.go") == [(INPUT, "GetMaskedServer(…)")]


def test_a_check_of_a_package_of_checks_is_known_by_the_name_of_the_package():
    check = "\tif msgs := validate.WebhookURL(q.URL); len(msgs) > 0 {\n\t\treturn errors.New(msgs)\n\t}\n"
    before = "package a\n\nfunc fetch(q *Q) error {\n" + check + "\treturn get(q.URL)\n}\n"
    after = before.replace(check, "")
    assert lost(before, after, "a.go") == [(INPUT, "validate.WebhookURL(…)")]
    assert lost(before.replace("validate.", "rules."), after, "a.go") == []


def test_a_value_that_is_taken_as_it_was_sent_and_no_longer_as_it_was_checked_is_told():
    view = "def give_back(request, pk):\n    form = Form(request.POST)\n    if form.is_valid():\n        day = {}\n        store(pk, day)\n"
    checked, sent = view.format("form.cleaned_data['day']"), view.format("request.POST.get('day')")
    assert lost(checked, sent) == [(INPUT, "'day'")]
    assert lost(sent, checked) == []
    assert lost(checked, view.format("request.POST.get('page')")) == []


@pytest.mark.parametrize(
    ("path", "code", "few", "many"),
    [
        ("a.py", '@router.get("/")\nasync def index(user: User = Depends({})):\n    return show(user)\n', "check_admin", "check_user"),
        ("a.py", "@{}\ndef index(request):\n    return show(request)\n", "staff_required", "login_required"),
        ("A.java", 'class A {{\n  @PreAuthorize("{}")\n  public List<B> all() {{ return rows.all(); }}\n}}\n', "hasRole('ADMIN')", "isAuthenticated()"),
    ],
)  # fmt: skip
def test_a_function_for_few_that_is_one_for_many_now_is_a_question(path, code, few, many):
    assert [kind for kind, _ in lost(code.format(few), code.format(many), path)] == [ACCESS]
    assert lost(code.format(many), code.format(few), path) == []
    assert lost(code.format(few), code.format(few), path) == []


@pytest.mark.parametrize(("state", "hit"), [("useState('')", Hit.SUSPECT), ("['', save]", Hit.VIOLATION)])
def test_what_a_component_of_the_browser_shows_to_whom_is_a_question(state, hit):
    code = """
export const Comment = (props) => {{
  const [text, setText] = {};
  if ({}) return null;
  return save(props.session.isAuthenticated, text, setText);
}};
"""
    asked, open_ = "!props.session.isAuthenticated", "!text"
    found = reviewed(change("src/Comment.tsx", code.format(state, asked), code.format(state, open_)))
    told = [c.claim.hit for c in found.claims if c.claim.rule == "conduct.check-removed"]
    assert told == [hit]


@pytest.mark.parametrize(("name", "hit"), [("RedactValues", Hit.VIOLATION), ("DateMask", Hit.SUSPECT)])
def test_a_mask_may_be_how_a_date_is_typed_and_what_redacts_is_what_it_says(name, hit):
    long, short = (
        REDACTOR.replace("RedactValues", name).format(n) for n in ("'day', 'month', 'year'", "'day', 'month'")
    )
    found = reviewed(change("src/r.ts", long, short)).claims
    assert [c.claim.hit for c in found if c.claim.rule == "conduct.guard-removed"] == [hit]
