"""What the dependency files of a repository show: frameworks, libraries that audit or send data away, stores, fakers."""

from __future__ import annotations

import re
from collections.abc import Iterator

LINE_LIMIT = 400

DEPENDENCY_FILES = frozenset(
    "pyproject.toml setup.cfg setup.py Pipfile package.json pom.xml build.gradle build.gradle.kts libs.versions.toml go.mod Gemfile".split()
)

_PYTHON = re.compile(r"(?:^|[\"'])\s*([A-Za-z0-9][\w.-]{0,60})\s*(?:\[[\w,-]{0,60}\])?\s*(?=[<>=~!;,\"'@]|$)")
_NAMES: dict[str, re.Pattern[str]] = {
    "package.json": re.compile(r"^\s*\"([@\w./-]{1,80})\"\s*:\s*\""),
    "pom.xml": re.compile(r"<artifactId>\s*([\w.-]{1,80})\s*</artifactId>"),
    "go.mod": re.compile(r"^\s*(?:require\s+)?([\w.-]+\.[a-z]{2,}/[\w./-]{1,100})\s+v\d"),
    "Gemfile": re.compile(r"^\s*gem\s*\(?\s*[\"']([\w-]{1,60})[\"']"),
}
_GRADLE = re.compile(r"[\"'][\w.-]{1,80}:([\w.-]{1,80})(?::[^\"']*)?[\"']|\bid\s*\(?\s*[\"']([\w.-]{1,80})[\"']")
_GO_VERSION = re.compile(r"/v\d+$")


def is_dependency_file(path: str) -> bool:
    """Whether a path, by its name, lists what the project depends on."""
    name = path.rpartition("/")[2]
    return name in DEPENDENCY_FILES or (name.startswith("requirements") and name.endswith((".txt", ".in")))


def dependencies(path: str, data: bytes) -> Iterator[tuple[str, int, str]]:
    """(package, line, text) for every dependency a file names, in lower case with dashes."""
    name = path.rpartition("/")[2]
    gradle = name.startswith("build.gradle") or name == "libs.versions.toml"
    pattern = _GRADLE if gradle else _NAMES.get(name, _PYTHON)
    for number, raw in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        text = raw[:LINE_LIMIT]
        if name == "go.mod" and "// indirect" in text:
            continue
        for found in pattern.findall(text):
            package = "".join(found).lower().replace("_", "-")
            yield (_GO_VERSION.sub("", package) if name == "go.mod" else package), number, text


def _table(fact: str, **names: str) -> dict[str, tuple[tuple[str, str], ...]]:
    return {package: ((fact, value),) for value, packages in names.items() for package in packages.split()}


def _merged(*tables: dict[str, tuple[tuple[str, str], ...]]) -> dict[str, tuple[tuple[str, str], ...]]:
    out: dict[str, tuple[tuple[str, str], ...]] = {}
    for table in tables:
        for package, facts in table.items():
            out[package] = (*out.get(package, ()), *facts)
    return out


MODULES = _table(
    "frameworks",
    django="django",
    drf="djangorestframework rest-framework",
    fastapi="fastapi",
    flask="flask",
    sqlalchemy="sqlalchemy sqlmodel flask-sqlalchemy",
    celery="celery",
    express="express",
    nestjs="@nestjs/core @nestjs/common",
    nextjs="next",
    prisma="prisma @prisma/client",
    typeorm="typeorm @nestjs/typeorm",
    sequelize="sequelize sequelize-typescript",
    mongoose="mongoose @nestjs/mongoose",
    trpc="@trpc/server",
    graphql="@apollo/server graphql-yoga type-graphql graphene graphene-django strawberry-graphql ariadne",
    fastify="fastify",
    hono="hono",
    koa="koa @koa/router koa-router",
    queues="bullmq bull agenda pg-boss inngest dramatiq rq huey arq",
    drizzle="drizzle-orm knex kysely",
    supabase="@supabase/supabase-js",
    litestar="litestar",
    aiohttp="aiohttp",
    sanic="sanic",
    tornado="tornado",
    tortoise="tortoise-orm peewee",
    mongodb="mongodb pymongo motor mongoengine beanie",
)
"""Module or package names, as an import or a dependency file spells them, to the framework they show."""

PACKAGES = _merged(
    MODULES,
    _table(
        "frameworks",
        spring="spring-boot-starter-web spring-boot-starter-webflux spring-boot-starter spring-webmvc spring-web "
        "org.springframework.boot spring-boot-starter-parent",
        jpa="spring-boot-starter-data-jpa hibernate-core hibernate-orm jakarta.persistence-api javax.persistence-api",
        jaxrs="jakarta.ws.rs-api javax.ws.rs-api jersey-server resteasy-core quarkus-resteasy quarkus-rest dropwizard-core",
        micronaut="micronaut-http-server-netty",
        gin="github.com/gin-gonic/gin",
        chi="github.com/go-chi/chi",
        echo="github.com/labstack/echo",
        fiber="github.com/gofiber/fiber",
        gorilla="github.com/gorilla/mux",
        gorm="gorm.io/gorm github.com/jinzhu/gorm",
        sqlx="github.com/jmoiron/sqlx",
        pgx="github.com/jackc/pgx",
        ent="entgo.io/ent",
        rails="rails",
        sinatra="sinatra",
        grape="grape",
        sidekiq="sidekiq",
    ),
    _table(
        "tests.synthetic_markers",
        faker="faker @faker-js/faker javafaker com.github.javafaker",
        synthea="synthea",
        factory="factory-boy factory-bot factory-bot-rails",
        datafaker="datafaker",
        instancio="instancio-junit instancio-core",
        gofakeit="github.com/brianvoe/gofakeit",
        mimesis="mimesis",
        fishery="fishery",
        chance="chance",
    ),
    _table(
        "retention.stores",
        db="django sqlalchemy sqlmodel prisma @prisma/client typeorm sequelize drizzle-orm knex mongoose pymongo "
        "spring-boot-starter-data-jpa hibernate-core gorm.io/gorm github.com/jmoiron/sqlx github.com/jackc/pgx rails activerecord pg mysql2 psycopg psycopg2 psycopg2-binary",
        search="elasticsearch elasticsearch-dsl django-elasticsearch-dsl opensearch-py @elastic/elasticsearch @opensearch-project/opensearch "
        "meilisearch algoliasearch typesense spring-boot-starter-data-elasticsearch searchkick elasticsearch-rails "
        "github.com/elastic/go-elasticsearch github.com/meilisearch/meilisearch-go",
        cache="redis ioredis django-redis memcached pymemcache memjs spring-boot-starter-data-redis jedis lettuce-core dalli "
        "github.com/redis/go-redis github.com/go-redis/redis github.com/gomodule/redigo",
        files="boto3 django-storages google-cloud-storage azure-storage-blob minio @aws-sdk/client-s3 @google-cloud/storage aws-sdk-s3 multer-s3 "
        "aws-java-sdk-s3 s3 github.com/aws/aws-sdk-go-v2/service/s3 github.com/minio/minio-go",
        warehouse="google-cloud-bigquery @google-cloud/bigquery snowflake-connector-python snowflake-sdk redshift-connector clickhouse-driver "
        "clickhouse-connect @clickhouse/client clickhouse-jdbc github.com/clickhouse/clickhouse-go",
    ),
)  # fmt: skip
"""Package to (fact, value)."""

AUDIT_LIBRARIES = frozenset(
    "django-auditlog django-simple-history django-pghistory django-easy-audit django-reversion pgtrigger sqlalchemy-continuum "
    "postgresql-audit audited paper-trail logidze typeorm-auditing nestjs-audit hibernate-envers spring-data-envers "
    "javers-core javers-spring-boot-starter-sql".split()
)
"""Dependencies that write an audit trail of their own, or help to."""

EGRESS: dict[str, str] = {
    package: match
    for match, packages in {
        "sentry_sdk": "sentry-sdk",
        "Sentry": "@sentry/node @sentry/nextjs @sentry/nestjs @sentry/react @sentry/browser sentry-ruby sentry-rails sentry sentry-spring-boot-starter",
        "sentry": "github.com/getsentry/sentry-go",
        "openai": "openai ruby-openai github.com/sashabaranov/go-openai github.com/openai/openai-go",
        "anthropic": "anthropic @anthropic-ai/sdk github.com/anthropics/anthropic-sdk-go",
        "langchain": "langchain @langchain/core langchain4j github.com/tmc/langchaingo",
        "posthog": "posthog posthog-node posthog-js posthog-ruby github.com/posthog/posthog-go",
        "mixpanel": "mixpanel mixpanel-ruby",
        "analytics": "segment-analytics-python analytics-python @segment/analytics-node analytics-ruby",
        "twilio": "twilio twilio-ruby github.com/twilio/twilio-go",
        "sendgrid": "sendgrid @sendgrid/mail sendgrid-ruby sendgrid-java github.com/sendgrid/sendgrid-go",
        "mailgun": "mailgun.js mailgun-ruby",
        "statsd": "datadog",
        "tracer": "ddtrace dd-trace",
        "rollbar": "rollbar",
        "bugsnag": "bugsnag @bugsnag/js github.com/bugsnag/bugsnag-go",
        "newrelic": "newrelic newrelic-rpm newrelic-api github.com/newrelic/go-agent",
        "slack_sdk": "slack-sdk",
        "slack": "@slack/web-api slack-ruby-client github.com/slack-go/slack",
        "intercom": "intercom-client intercom",
        "hubspot": "@hubspot/api-client hubspot-api-client",
        "stripe": "stripe stripe-java github.com/stripe/stripe-go",
    }.items()
    for package in packages.split()
}  # fmt: skip
"""Packages that send data to another party, and what their calls are named by in code."""
