"""What an image is, by its name, and what a program is for, by its words."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Literal

Kind = Literal["redis", "rabbitmq", "database", "monitor", "web", "job", "other", ""]
"""redis and rabbitmq can be a broker; "": nothing that is known here."""

_IMAGES: dict[Kind, str] = {
    "monitor": r"(\w+-)*flower(-\w+)* celery-?exporter (celery|task)-?(dashboard|insights|monitor) kanchi clearly",
    "redis": r"redis(-stack(-server)?|-alpine)? valkey(-bundle)? keydb dragonfly kvrocks",
    "rabbitmq": r"rabbit-?mq(-server|-management)? lavinmq",
    "database": r"""
        \w*(postgres|postgis|pgvector|timescale|mysql|mariadb|mongo|percona|mssql|cockroach|clickhouse)\w*
        postgresql(-repmgr)? timescaledb(-ha)? clickhouse-server mongodb-\w+ azure-sql-edge
        influxdb elasticsearch opensearch cassandra scylla neo4j couchdb couchbase qdrant weaviate chroma milvus
        surrealdb arangodb questdb meilisearch typesense solr etcd memgraph edgedb""",
    "job": r"mc minio-?client aws-?cli flyway liquibase alembic newman k6 migrate pgautoupgrade",
    "other": r"""
        redis-?(commander|insight|exporter|ui) redisinsight phpredisadmin rabbitmq-?exporter postgres-?exporter
        pgadmin4? adminer phpmyadmin mongo-express cloudbeaver pgweb pgbouncer pgpool memcached
        mail(hog|pit|dev|catcher) smtp4dev postfix greenmail inbucket
        nginx(-\w+)* traefik caddy haproxy envoy httpd varnish kong swag cloudflared ngrok anubis certbot
        minio localstack azurite fake-gcs-server seaweedfs s3(mock|ninja) sftp vsftpd registry
        prometheus grafana loki promtail tempo mimir alertmanager cadvisor node-exporter jaeger all-in-one zipkin
        otel\w* opentelemetry-collector(-contrib)? fluentd fluent-bit logstash kibana filebeat apm-server netdata statsd
        kafka cp-\w+ zookeeper redpanda nats mosquitto emqx pulsar vault consul keycloak dex hydra
        selenium hub node-chrom\w+ standalone-\w+ browserless watchtower portainer docker-socket-proxy dind
        clamav gotenberg tika unleash\w* flipt metabase superset ollama imgproxy flaresolverr go-httpbin""",
}
_KNOWN = tuple((re.compile(pattern), kind) for kind, text in _IMAGES.items() for pattern in text.split())

_PROGRAMS: dict[Kind, str] = {
    "web": """
        asgiref bun chainlit daphne deno fastapi flask gradio granian gunicorn hypercorn jupyter litestar next ng node
        npm npx nuxt panel pnpm puma rails robyn sanic serve streamlit twistd uvicorn uwsgi vite voila waitress-serve
        yarn""",
    "redis": "redis-server valkey-server keydb-server",
    "rabbitmq": "rabbitmq-server",
    "database": "postgres mysqld mariadbd mongod clickhouse-server cockroach",
    "job": "alembic mc pytest py.test tox nox flake8 mypy ruff black behave newman",
    "other": """
        apache2 apachectl caddy cat cron crond envoy haproxy httpd mailhog mailpit nginx postfix rsyslogd sleep tail
        traefik""",
}
_KINDS = {name: kind for kind, names in _PROGRAMS.items() for name in names.split()}
_PYTHON_WEB = {"daphne", "fastapi", "flask", "gunicorn", "http.server", "hypercorn", "sanic", "streamlit", "uvicorn"}
_SERVES = re.compile(r"\b(?:start|dev|serve|server|preview|watch|storybook)\b")
_MANAGES_WEB = re.compile(r"run|serve|runserver(?:_plus|_uwsgi)?|run_?gunicorn|testserver")
_MANAGES_JOBS = re.compile(
    r"(?:make)?migrat\w+|collectstatic|createsuperuser|loaddata|flush|check|test|compilemessages|createcachetable"
    r"|create_?\w+|init_?\w*|setup_?\w*|seed\w*|load_?\w+|bootstrap|initadmin|populate\w*|import_?\w+|update_?\w+"
)


def of_image(image: str, *, exact: bool = False) -> Kind:
    """Return what an image is, by its last word without registry, tag and digest; exact: no maker's name before it."""
    path = re.sub(r":[^/]*$", "", image.partition("@")[0]).lower()
    name = posixpath.basename(path)
    if name == "server":  # vendor/database/server
        name = posixpath.basename(posixpath.dirname(path))
    return next(
        (kind for pattern, kind in _KNOWN if pattern.fullmatch(name) or (not exact and _prefixed(pattern, name))), ""
    )


def _prefixed(pattern: re.Pattern[str], name: str) -> bool:
    """`my-redis`, `project_flower`: the name with its maker's before it."""
    return any(pattern.fullmatch(name[at + 1 :]) for at, sign in enumerate(name) if sign in "-_" and len(name) - at > 4)


def of_words(words: Sequence[str]) -> Kind:
    """Return what a program is for."""
    if not words:
        return ""
    name = posixpath.basename(words[0]).lower()
    following = words[1] if len(words) > 1 else ""
    if re.fullmatch(r"python[\d.]*", name):
        return _of_python([word for word in words[1:] if word not in ("-u", "-O", "-B")])
    if name in ("manage.py", "django-admin"):
        return _of_management(following)
    if name == "celeriac" and following == "exporter":
        return "monitor"
    if name == "flask" and following in ("db", "init-db", "seed", "shell"):
        return "job"
    if name == "docker-entrypoint.sh" and following:
        return of_words(words[1:])
    if name in ("npm", "npx", "pnpm", "yarn", "bun") and not _SERVES.search(" ".join(words[1:])):
        return ""
    return _KINDS.get(name, "")


def _of_python(rest: Sequence[str]) -> Kind:
    if rest[:1] == ["-m"] and len(rest) > 1:
        if rest[1] in _PYTHON_WEB:
            return of_words(rest[1:]) or "web"
        if rest[1] == "celeriac":
            return of_words(rest[1:])
        return "job" if rest[1] in ("pytest", "unittest", "alembic", "compileall") else ""
    if rest and posixpath.basename(rest[0]) == "manage.py":
        return _of_management(rest[1] if len(rest) > 1 else "")
    return ""


def _of_management(command: str) -> Kind:
    if _MANAGES_WEB.fullmatch(command):
        return "web"
    return "job" if _MANAGES_JOBS.fullmatch(command) else ""
