"""What Prometheus and Grafana need outside a cluster: where to scrape, rules, a dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.render.alerts import alert_file
from selfhost.render.dashboard import dashboard_file
from selfhost.render.rendered import RenderedFile, header, yaml_text

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment

KEY_FILE = "/etc/prometheus/selfhost-key"


def monitoring_files(deployment: Deployment) -> list[RenderedFile]:
    """`monitoring/`: prometheus.yml, alerts.yaml, dashboard.json."""
    return [_prometheus(deployment), alert_file(deployment), dashboard_file(deployment)]


def _prometheus(deployment: Deployment) -> RenderedFile:
    """Metrics lie behind the key, as they tell what is asked and how much."""
    wanted = {
        "global": {"scrape_interval": "15s"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [
            {
                "job_name": deployment.name,
                "metrics_path": "/metrics",
                "authorization": {"type": "Bearer", "credentials_file": KEY_FILE},
                "static_configs": [{"targets": [deployment.reached_at]}],
            }
        ],
    }
    return RenderedFile(path="monitoring/prometheus.yml", text=header(deployment) + yaml_text(wanted))
