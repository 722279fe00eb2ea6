"""Prometheus, whose targets and history a test can change."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from devcluster.errors import CommandError
from devcluster.ports import LOOPBACK, free_port
from devcluster.probes import answers
from devcluster.text import last_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from devcluster.options import PrometheusOptions
    from devcluster.site import Site

_BACKFILL_SECONDS = 300.0


class Prometheus:
    """A Prometheus that scrapes whatever is written into its folder of targets.

    Attributes:
        process: The process; stop, pause and start it here.
        url: Its address, without a trailing slash.
        targets_dir: Each `*.json` in it lists targets, as `file_sd_configs` has it; a change
            is noticed within seconds.
        data_dir: Its storage.
        config_file: Its configuration, JSON for YAML; to be changed while it is stopped.
    """

    def __init__(self, site: Site, name: str, options: PrometheusOptions) -> None:
        """Write its configuration and load the history; nothing is started yet."""
        home = site.folder(name)
        self._promtool = site.binaries.path("promtool") if options.backfill else None
        self.targets_dir = site.folder(name, "targets")
        self.data_dir = site.folder(name, "data")
        self.config_file = home / "prometheus.yml"
        self.config_file.write_text(json.dumps(_config(self.targets_dir, options), indent=2))
        address = f"{LOOPBACK}:{free_port()}"
        self.url = f"http://{address}"
        flags = [
            f"--config.file={self.config_file}",
            f"--storage.tsdb.path={self.data_dir}",
            f"--storage.tsdb.retention.time={options.retention}",
            f"--web.listen-address={address}",
            # A change of targets waits for two throttles, of which this is one.
            "--scrape.discovery-reload-interval=1s",
            "--web.enable-lifecycle",
            "--web.enable-admin-api",
            "--log.level=warn",
            *options.flags,
        ]
        self.process = site.process("prometheus", flags, name=name, ready=lambda: answers(f"{self.url}/-/ready"))
        if options.backfill and self._promtool:
            backfill(self._promtool, self.data_dir, options.backfill)

    def add_target(self, name: str, address: str, labels: Mapping[str, str] | None = None) -> None:
        """Scrape one more target.

        Args:
            name: For `remove_target`; the same name again replaces the target.
            address: Host and port.
            labels: Labels of all its series; `__metrics_path__` and `__scheme__` say where
                the metrics are, `job` overrides the name of the job.
        """
        target = self.targets_dir / f"{name}.json"
        unfinished = target.with_suffix(".unfinished")
        unfinished.write_text(json.dumps([{"targets": [address], "labels": dict(labels or {})}]))
        unfinished.replace(target)

    def remove_target(self, name: str) -> None:
        """Scrape a target no more."""
        (self.targets_dir / f"{name}.json").unlink(missing_ok=True)


def backfill(promtool: Path, data_dir: Path, openmetrics: Path, flags: Sequence[str] = ()) -> None:
    """Turn an OpenMetrics file into blocks of a Prometheus that is not running.

    Args:
        promtool: The program.
        data_dir: Storage of the Prometheus.
        openmetrics: Samples with their times; the text ends with `# EOF`.
        flags: Further flags, such as the length of the blocks.

    Raises:
        CommandError: promtool refused the file.
    """
    command = ["tsdb", "create-blocks-from", *flags, "openmetrics", str(openmetrics), str(data_dir)]
    done = subprocess.run(
        [str(promtool), *command],
        capture_output=True,
        text=True,
        timeout=_BACKFILL_SECONDS,
        check=False,
    )
    if done.returncode:
        raise CommandError("promtool " + " ".join(command), done.returncode, last_lines(done.stderr))


def _config(targets_dir: Path, options: PrometheusOptions) -> dict[str, object]:
    targets = {"files": [f"{targets_dir}/*.json"], "refresh_interval": "1s"}
    return {
        "global": {
            "scrape_interval": options.scrape_interval,
            "scrape_timeout": options.scrape_interval,
            "evaluation_interval": options.scrape_interval,
        },
        "scrape_configs": [
            # What a target says about namespace and pod stays as it says it.
            {"job_name": "targets", "honor_labels": True, "file_sd_configs": [targets]},
        ],
        **options.config,
    }
