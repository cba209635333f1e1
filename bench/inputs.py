"""What the measurements run on: code as it is written in clinics' applications, generated, the same every time."""

from __future__ import annotations

from collections.abc import Iterator

RESOURCES = (
    ("Patient", "patients", "mrn"),
    ("Encounter", "encounters", "reason"),
    ("LabResult", "lab_results", "loinc"),
    ("Prescription", "prescriptions", "dosage"),
    ("Invoice", "invoices", "total"),
    ("Appointment", "appointments", "starts_at"),
    ("Referral", "referrals", "specialty"),
    ("CarePlan", "care_plans", "goal"),
)

DJANGO_HEAD = '''\
"""{title}: what the front desk and the clinicians work with."""

import csv
import logging

from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST

from clinic.audit import audit_log
from clinic.forms import {models_forms}
from clinic.models import {models}

logger = logging.getLogger(__name__)
PAGE_SIZE = 50
'''

DJANGO_VIEWS = """\


@require_GET
@permission_required("clinic.view_{lower}", raise_exception=True)
def {lower}_list{n}(request):
    rows = {model}.objects.filter(org=request.user.org).select_related("org").order_by("-created_at")
    query = request.GET.get("q", "").strip()
    if query:
        rows = rows.filter({field}__icontains=query)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    audit_log(actor=request.user, action="list", object_ids=[row.pk for row in page])
    return JsonResponse(
        {{
            "count": page.paginator.count,
            "results": [{{"id": row.pk, "{field}": row.{field}}} for row in page],
        }}
    )


@require_GET
@permission_required("clinic.view_{lower}", raise_exception=True)
def {lower}_detail{n}(request, pk):
    row = get_object_or_404({model}, pk=pk, org=request.user.org)
    audit_log(actor=request.user, action="read", object_ids=[row.pk])
    return JsonResponse({{"id": row.pk, "{field}": row.{field}, "updated": row.updated_at.isoformat()}})


@require_POST
@permission_required("clinic.change_{lower}", raise_exception=True)
def {lower}_update{n}(request, pk):
    row = get_object_or_404({model}, pk=pk, org=request.user.org)
    form = {model}Form(request.POST, instance=row)
    if not form.is_valid():
        logger.info("invalid form for {lower} id=%s: %d errors", row.pk, len(form.errors))
        return JsonResponse({{"errors": form.errors.get_json_data()}}, status=400)
    with transaction.atomic():
        row = form.save()
        audit_log(actor=request.user, action="update", object_ids=[row.pk])
    return JsonResponse({{"id": row.pk}})


@require_POST
@permission_required("clinic.delete_{lower}", raise_exception=True)
def {lower}_archive{n}(request, pk):
    with transaction.atomic():
        row = get_object_or_404({model}.objects.select_for_update(), pk=pk, org=request.user.org)
        row.archived = True
        row.save(update_fields=["archived", "updated_at"])
        audit_log(actor=request.user, action="archive", object_ids=[row.pk])
    logger.info("archived {lower} id=%s", row.pk)
    return HttpResponse(status=204)


@require_GET
@permission_required("clinic.export_{lower}", raise_exception=True)
def {lower}_export{n}(request):
    rows = {model}.objects.filter(org=request.user.org, archived=False)
    response = HttpResponse(content_type="text/csv")
    writer = csv.writer(response)
    writer.writerow(["id", "{field}"])
    for row in rows.iterator(chunk_size=500):
        writer.writerow([row.pk, row.{field}])
    audit_log(actor=request.user, action="export", object_ids=list(rows.values_list("pk", flat=True)))
    return response
"""

NEST_HEAD = """\
import {{ Body, Controller, Delete, Get, Logger, Param, ParseUUIDPipe, Patch, Post, Req, UseGuards }} from '@nestjs/common';
import {{ AuditService }} from '../audit/audit.service';
import {{ JwtAuthGuard }} from '../auth/jwt-auth.guard';
import {{ PrismaService }} from '../prisma/prisma.service';
import {{ AuthedRequest }} from '../auth/types';

@Controller('{path}')
@UseGuards(JwtAuthGuard)
export class {model}Controller {{
  private readonly logger = new Logger({model}Controller.name);

  constructor(
    private readonly prisma: PrismaService,
    private readonly audit: AuditService,
  ) {{}}
"""

NEST_METHODS = """
  @Get('v{n}/:id')
  async read{n}(@Req() req: AuthedRequest, @Param('id', ParseUUIDPipe) id: string) {{
    const row = await this.prisma.{lower}.findFirstOrThrow({{ where: {{ id, orgId: req.user.orgId }} }});
    await this.audit.record({{ actor: req.user.id, action: 'read', objectIds: [row.id] }});
    return {{ id: row.id, {field}: row.{field} }};
  }}

  @Patch('v{n}/:id')
  async update{n}(@Req() req: AuthedRequest, @Param('id', ParseUUIDPipe) id: string, @Body() dto: Update{model}Dto) {{
    const found = await this.prisma.{lower}.findFirstOrThrow({{ where: {{ id, orgId: req.user.orgId }} }});
    const row = await this.prisma.{lower}.update({{ where: {{ id: found.id, orgId: req.user.orgId }}, data: dto }});
    await this.audit.record({{ actor: req.user.id, action: 'update', objectIds: [row.id] }});
    this.logger.log(`updated {lower} ${{row.id}}`);
    return {{ id: row.id }};
  }}

  @Delete('v{n}/:id')
  async remove{n}(@Req() req: AuthedRequest, @Param('id', ParseUUIDPipe) id: string) {{
    await this.prisma.{lower}.deleteMany({{ where: {{ id, orgId: req.user.orgId }} }});
    await this.audit.record({{ actor: req.user.id, action: 'delete', objectIds: [id] }});
  }}
"""

EXPRESS_HEAD = """\
const express = require('express');
const {{ PrismaClient }} = require('@prisma/client');
const {{ requireAuth }} = require('../middleware/auth');
const {{ auditLog }} = require('../audit');
const logger = require('../logger');

const prisma = new PrismaClient();
const router = express.Router();
router.use(requireAuth);
"""

EXPRESS_ROUTES = """
router.get('/{path}/v{n}/:id', async (req, res, next) => {{
  try {{
    const row = await prisma.{lower}.findFirst({{ where: {{ id: req.params.id, orgId: req.user.orgId }} }});
    if (!row) return res.status(404).json({{ code: 'not_found' }});
    await auditLog({{ actor: req.user.id, action: 'read', objectIds: [row.id] }});
    return res.json({{ id: row.id, {field}: row.{field} }});
  }} catch (error) {{
    return next(error);
  }}
}});

router.post('/{path}/v{n}', async (req, res, next) => {{
  try {{
    const row = await prisma.{lower}.create({{ data: {{ {field}: req.body.{field}, orgId: req.user.orgId }} }});
    await auditLog({{ actor: req.user.id, action: 'create', objectIds: [row.id] }});
    logger.info('created {lower} %s', row.id);
    return res.status(201).json({{ id: row.id }});
  }} catch (error) {{
    return next(error);
  }}
}});
"""


def _cut(text: str, lines: int, comment: str) -> str:
    """Return exactly that many lines: whole blocks, then comments to fill up."""
    missing = lines - text.count("\n")
    return text + "".join(f"{comment} {number}\n" for number in range(missing))


def _blocks(head: str, blocks: tuple[str, ...], lines: int, comment: str, start: int, **fixed: str) -> str:
    """Repeat the blocks, for one resource after the other, as long as whole ones fit."""
    text, number = head, start
    while True:
        model, path, field = RESOURCES[number % len(RESOURCES)]
        values = {"model": model, "path": path, "field": field, "lower": model.lower(), "n": str(number)} | fixed
        for block in blocks:
            more = block.format(**values)
            if text.count("\n") + more.count("\n") > lines:
                return _cut(text, lines, comment)
            text += more
        number += 1


def _parts(text: str, opening: str) -> tuple[str, ...]:
    """Cut a text into blocks that each begin with ``opening``."""
    return tuple(opening + part for part in text.split(opening)[1:])


def django(lines: int, start: int = 0) -> str:
    """Views of a Django application, ``lines`` long."""
    models = sorted(model for model, _, _ in RESOURCES)
    head = DJANGO_HEAD.format(
        title=RESOURCES[start % len(RESOURCES)][0],
        models=", ".join(models),
        models_forms=", ".join(f"{model}Form" for model in models),
    )
    return _blocks(head, _parts(DJANGO_VIEWS, "\n\n@require"), lines, "# note", start)


def nest(lines: int, start: int = 0) -> str:
    """A NestJS controller with Prisma, in TypeScript."""
    model, path, field = RESOURCES[start % len(RESOURCES)]
    fixed = {"model": model, "path": path, "field": field, "lower": model[0].lower() + model[1:]}
    body = _blocks(NEST_HEAD.format(**fixed), _parts(NEST_METHODS, "\n  @"), lines - 1, "  // note", start, **fixed)
    return body + "}\n"


def express(lines: int, start: int = 0) -> str:
    """Routes of an Express application with Prisma, in JavaScript."""
    tail = "\nmodule.exports = router;\n"
    return (
        _blocks(EXPRESS_HEAD.format(), _parts(EXPRESS_ROUTES, "\nrouter."), lines - tail.count("\n"), "// note", start)
        + tail
    )


def mixed(files: int, lines: int) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of ``files`` files with ``lines`` lines together: six parts .py, three .ts, one .js."""
    size, rest = divmod(lines, files)
    for number in range(files):
        length = size + (number < rest)
        kind = number % 10
        if kind < 6:
            yield f"app{number // 10}/views_{number}.py", django(length, number)
        elif kind < 9:
            yield f"api{number // 10}/module_{number}.controller.ts", nest(length, number)
        else:
            yield f"web{number // 10}/routes_{number}.js", express(length, number)
