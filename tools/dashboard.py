#!/usr/bin/env python3
"""Writes charts/claviger/dashboards/claviger.json: the dashboard, defined here as a table of panels.

Usage: tools/dashboard.py > charts/claviger/dashboards/claviger.json
A test compares the committed file with this output, and evaluates every expression with a real Prometheus.
"""

import json

JOB = '{job=~"$job"}'
RED, ORANGE, YELLOW, GREEN, BLUE = "red", "orange", "yellow", "green", "blue"


def selector(metric, labels=""):
    """The series of the chosen job."""
    return f'claviger_{metric}{{job=~"$job"{"," if labels else ""}{labels}}}'


def rate(metric, by="", labels=""):
    return f"sum{f' by ({by})' if by else ''} (rate({selector(metric, labels)}[$__rate_interval]))"


def happening(metric, by, labels=""):
    """The same without the words that nothing happens under."""
    return rate(metric, by, labels) + " > 0"


def last_day(metric, labels=""):
    return f"sum (increase({selector(metric, labels)}[24h]))"


def quantile(q, metric, by=""):
    by = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({by}) (rate({selector(metric + '_bucket')}[$__rate_interval])))"


def graph(title, unit, *targets, width=8, stack=False, colours=None, help=""):
    return {"kind": "timeseries", "title": title, "unit": unit, "targets": targets, "width": width, "stack": stack,
            "colours": colours or {}, "help": help}


def stat(title, unit, expression, width=4, alarm=None, help=""):
    """One number; with `alarm` it is green below it and red from there."""
    return {"kind": "stat", "title": title, "unit": unit, "targets": [(expression, "")], "width": width,
            "alarm": alarm, "help": help}


OUTCOMES = {"ok": GREEN, "denied": ORANGE, "failed": RED}
ROWS = [
    ("Now", [
        stat("Replicas that issue tickets", "short", f"sum ({selector('ready')})"),
        stat("Waiting tickets", "short", f"max ({selector('tickets_outstanding')})"),
        stat("Misuse, last day", "short", last_day("ticket_redemptions_total", 'outcome="misuse"'), alarm=1,
             help="A complete URL was presented from another address or by another caller. The ticket was consumed."),
        stat("Redeemed twice, last day", "short", last_day("ticket_redemptions_total", 'outcome="already_redeemed"'),
             alarm=1, help="A consumed URL was used again, by a retry or by another client."),
        stat("Revocations given up, last day", "short", last_day("lease_revocations_total", 'outcome="given_up"'),
             alarm=1, help="Credentials that should be revoked but are still accepted by a store."),
        stat("Refused for the audit log, last day", "short", last_day("errors_total", 'code="audit_unavailable"'), alarm=1,
             help="Requests that were refused because the audit log could not be written."),
    ]),
    ("Access", [
        graph("Ticket requests", "reqps", (rate("ticket_requests_total", "outcome"), "{{outcome}}"),
              stack=True, colours=OUTCOMES),
        graph("Refusals by code", "reqps", (happening("ticket_requests_total", "code", 'outcome!="ok"'), "{{code}}"),
              stack=True),
        graph("Tickets by policy", "reqps", (rate("tickets_issued_total", "policy"), "{{policy}}"), stack=True),
        graph("Bearer tokens", "reqps",
              (rate("authentications_total", "authenticator, outcome"), "{{authenticator}} {{outcome}}"), width=12,
              help="By authenticator and outcome. `none`: no authenticator is responsible for the token."),
        graph("Policies in force", "short", (f"max ({selector('policies')})", "policies"),
              (f"max ({selector('policy_file_faults')})", "invalid files"), width=12),
        graph("Policies in shadow mode", "reqps",
              (rate("policy_shadow_total", "policy, outcome"), "{{policy}} {{outcome}}"), width=12,
              help="What policies with mode: audit would have changed, by policy and outcome."),
        graph("Secrets of policies by use", "short",
              (f"max by (state) ({selector('inventory_secrets')})", "{{state}}"), width=12, stack=True,
              colours={"used": GREEN, "unused": ORANGE},
              help="Secrets of policies that were or were not read within 30 days. `claviger inventory` lists them."),
    ]),
    ("Redemptions", [
        graph("Redemptions", "reqps", (rate("ticket_redemptions_total", "outcome"), "{{outcome}}"), width=16, stack=True,
              colours={"redeemed": GREEN, "replayed": BLUE, "already_redeemed": ORANGE, "expired": "#8F8F8F",
                       "revoked": "#5F5F5F", "unknown": YELLOW, "misuse": RED}),
        graph("Waiting tickets", "short", (f"max ({selector('tickets_outstanding')})", "tickets"),
              (rate("audit_events_total", labels='type="ticket.expired"'), "expired, per second")),
    ]),
    ("Latency", [
        graph("Requests, p99 by route", "s", (quantile(0.99, "http_request_duration_seconds", "route"), "{{route}}")),
        graph("Requests, p50 by route", "s", (quantile(0.5, "http_request_duration_seconds", "route"), "{{route}}")),
        graph("Time by stage, p99", "s", (quantile(0.99, "token_review_duration_seconds"), "token review"),
              (quantile(0.99, "decision_duration_seconds"), "decision"),
              (quantile(0.99, "store_request_duration_seconds"), "store"),
              (quantile(0.99, "audit_write_duration_seconds"), "audit write")),
    ]),
    ("Stores and cache", [
        graph("Store calls", "reqps", (happening("store_requests_total", "store, outcome"), "{{store}} {{outcome}}"),
              stack=True),
        graph("Store calls, p99", "s",
              (quantile(0.99, "store_request_duration_seconds", "store, operation"), "{{store}} {{operation}}")),
        graph("Secret cache", "reqps", (rate("lease_cache_requests_total", "outcome"), "{{outcome}}"), stack=True,
              colours={"hit": GREEN, "coalesced": BLUE, "miss": YELLOW, "stale": RED}),
        graph("Cache hit ratio", "percentunit",
              (rate("lease_cache_requests_total", "store", 'outcome=~"hit|coalesced"') + " / "
               + rate("lease_cache_requests_total", "store"), "{{store}}"), width=12),
        graph("Failed store calls", "reqps",
              (rate("store_requests_total", "store, outcome", 'outcome=~"unavailable|forbidden|misconfigured"'),
               "{{store}} {{outcome}}"), width=12),
        graph("Circuit breakers opened", "ops", (rate("store_calls_suspended_total", "store, scope"), "{{store}} {{scope}}"),
              width=12, help="`server`: the health check fails. `mount` and `path`: other secrets of the store are still read."),
    ]),
    ("Leases", [
        graph("Active leases", "short", (f"sum by (store) ({selector('leases_active')})", "{{store}}"),
              (f"sum by (store) ({selector('leases_orphaned')})", "{{store}}, not renewed"),
              help="Leases of pods whose authenticator is not configured are not renewed."),
        graph("Renewals", "reqps", (rate("lease_renewals_total", "store, outcome"), "{{store}} {{outcome}}")),
        graph("Revocations", "reqps", (rate("lease_revocations_total", "store, outcome"), "{{store}} {{outcome}}"),
              help="`given_up`: the credentials are still valid and must be revoked by hand."),
    ]),
    ("Audit", [
        graph("Audit events written", "reqps", (happening("audit_events_total", "type"), "{{type}}"), stack=True),
        graph("Audit write latency", "s", (quantile(0.5, "audit_write_duration_seconds"), "p50"),
              (quantile(0.99, "audit_write_duration_seconds"), "p99")),
        graph("Size of the audit log", "bytes", (f"max ({selector('audit_size_bytes')})", "measured"),
              (f"max ({selector('audit_max_size_bytes')})", "audit.maxSize"),
              help="Upper estimate. Above audit.maxSize the oldest events are deleted."),
        graph("Deleted events", "short", (rate("audit_events_pruned_total", "reason"), "{{reason}}"),
              help="`max_size`: deleted before the end of their retention."),
        graph("Database volume", "bytes", (f"min ({selector('database_free_bytes')})", "free"),
              (f"max ({selector('database_volume_bytes')})", "size"), help="SQLite only; 0 with PostgreSQL."),
        graph("Audit backlog", "short", (f"sum ({selector('audit_events_waiting')})", "waiting events"),
              (rate("audit_events_lost_total"), "lost events, per second"),
              (rate("errors_total", labels='code="audit_unavailable"'), "refused requests, per second")),
    ]),
    ("Saturation", [
        graph("Responses by status", "reqps", (happening("http_requests_total", "status"), "{{status}}"), stack=True),
        graph("Connections", "percentunit",
              (f"max ({selector('http_connections')} / {selector('http_connections_limit')})", "of the limit"),
              (f"max (process_open_fds{JOB} / process_max_fds{JOB})", "file descriptors")),
        graph("Rejected requests", "reqps", (rate("errors_total", "code", 'code=~"rate_limited|draining|timeout"'), "{{code}}")),
        graph("Processor", "percentunit", (f"rate(process_cpu_seconds_total{JOB}[$__rate_interval])", "{{instance}}")),
        graph("Memory", "bytes", (f"process_resident_memory_bytes{JOB}", "{{instance}}"), width=6),
        graph("Certificate expires in", "s",
              (f"min ({selector('tls_certificate_expiry_timestamp_seconds')} > 0) - time()", "certificate"), width=6),
        graph("Clock offset to the database", "s", (f"{selector('database_clock_offset_seconds')}", "{{instance}}"), width=6,
              help="From five seconds on a replica issues no tickets."),
        graph("Failover of the database may lose data", "short", (f"max by (cause) ({selector('database_data_loss_possible')})", "{{cause}}"),
              (f"max ({selector('database_data_loss_allowed')})", "accepted (allowDataLoss)"), width=6,
              help="1: acknowledged redemptions and audit events can be lost. PostgreSQL only."),
        stat("Uptime of the newest replica", "s", f"min (time() - process_start_time_seconds{JOB})"),
    ]),
]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def override(name, colour):
    return {"matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"fixedColor": colour, "mode": "fixed"}}]}


def panel(one, number, x, y, height):
    targets = [{"datasource": SOURCE, "editorMode": "code", "expr": expression, "legendFormat": legend or "__auto",
                "range": one["kind"] == "timeseries", "instant": one["kind"] == "stat", "refId": chr(ord("A") + at)}
               for at, (expression, legend) in enumerate(one["targets"])]
    defaults = {"unit": one["unit"], "min": 0}
    if one["kind"] == "timeseries":
        stacking = {"mode": "normal" if one["stack"] else "none", "group": "A"}
        defaults["custom"] = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if one["stack"] else 5,
                              "showPoints": "never", "spanNulls": False, "stacking": stacking}
        defaults["color"] = {"mode": "palette-classic"}
        overrides = [override(name, colour) for name, colour in one["colours"].items()]
        options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                   "tooltip": {"mode": "multi", "sort": "desc"}}
    else:
        steps = [{"color": GREEN, "value": None}]
        if one["alarm"]:
            steps.append({"color": RED, "value": one["alarm"]})
        defaults["color"] = {"mode": "thresholds"}
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        overrides = []
        options = {"colorMode": "background" if one["alarm"] else "value", "graphMode": "none", "justifyMode": "auto",
                   "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "textMode": "value"}
    return {"id": number, "type": one["kind"], "title": one["title"], "description": one["help"], "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": one["width"], "h": height},
            "fieldConfig": {"defaults": defaults, "overrides": overrides}, "options": options, "targets": targets}


def panels():
    numbers, y = iter(range(1, 1000)), 0
    for title, row in ROWS:
        yield {"id": next(numbers), "type": "row", "title": title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}
        y, x = y + 1, 0
        height = 4 if all(one["kind"] == "stat" for one in row) else 8
        for one in row:
            if x + one["width"] > 24:
                x, y = 0, y + height
            yield panel(one, next(numbers), x, y, height)
            x += one["width"]
        y += height


def variables():
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}
    query = "label_values(claviger_build_info, job)"
    yield {"name": "job", "label": "Job", "type": "query", "datasource": SOURCE, "definition": query,
           "query": {"query": query, "refId": "job"}, "refresh": 2, "includeAll": True, "multi": True, "allValue": ".*",
           "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "hide": 0}


print(json.dumps({
    "uid": "claviger", "title": "Claviger", "tags": ["claviger"], "schemaVersion": 39, "version": 1, "editable": True,
    "graphTooltip": 1, "time": {"from": "now-6h", "to": "now"}, "refresh": "30s", "timezone": "browser",
    "annotations": {"list": []}, "links": [], "templating": {"list": list(variables())}, "panels": list(panels()),
}, indent=1))
