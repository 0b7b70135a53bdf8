"""All the clusters that this program knows, or that profiles hold: ClusterManager."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from steer.client.cleaning import clean_cluster_files
from steer.client.cluster import Cluster
from steer.client.found import Found, State, find_all, find_in

__all__ = ["ClusterManager", "clean_cluster_files"]


class ClusterManager:
    """Clusters by their key, `<profile>:<cluster id>`."""

    def __init__(self) -> None:
        self._clusters: dict[str, Cluster] = {}

    @property
    def clusters(self) -> dict[str, Cluster]:
        """All that are known now."""
        return dict(self._clusters)

    def load_clusters(
        self,
        *,
        profile_dirs: Iterable[str | os.PathLike[str]] | None = None,
        profile_dir: str | os.PathLike[str] | None = None,
        profiles: Iterable[str] | None = None,
        profile: str | None = None,
        init_default_clusters: bool = False,
    ) -> dict[str, Cluster]:
        """Find the clusters that profiles hold, of all profiles if none is named.

        With `init_default_clusters` each profile also gets one that is not started.
        """
        folders = [*(profile_dirs or ()), *([profile_dir] if profile_dir else [])]
        names = [*(profiles or ()), *([profile] if profile is not None else [])]
        found: list[Found] = [one for d in folders for one in find_in(Path(d))]
        found += [one for name in names for one in find_all(name)]
        if not folders and not names:
            found = find_all()
        loaded = {}
        for one in found:
            if one.state is State.STALE:
                continue
            cluster = Cluster.from_file(one.files.connection)
            loaded[self.key_of(cluster)] = cluster
        # A cluster that was made here and not yet started has no file: it stays.
        ours = {k: c for k, c in self._clusters.items() if k in loaded or _is_new(c)}
        self._clusters = {**loaded, **ours}
        if init_default_clusters:
            for name in names or [""]:
                fresh = Cluster(profile=name, cluster_id="", shutdown_atexit=False)
                self._clusters.setdefault(self.key_of(fresh), fresh)
        return self.clusters

    def new_cluster(self, **options: Any) -> tuple[str, Cluster]:
        """Make a cluster, to be started; its key and itself."""
        cluster = Cluster(**options)
        key = self.key_of(cluster)
        if key in self._clusters:
            raise KeyError(f"There is a cluster {key!r} already.")
        self._clusters[key] = cluster
        return key, cluster

    def get_cluster(self, key: str) -> Cluster:
        """The cluster with this key; KeyError if there is none."""
        if key not in self._clusters:
            known = ", ".join(self._clusters) or "none"
            raise KeyError(f"There is no cluster {key!r}; there are: {known}.")
        return self._clusters[key]

    def remove_cluster(self, key: str) -> None:
        """Forget a cluster; what runs goes on."""
        self.get_cluster(key)
        del self._clusters[key]

    @staticmethod
    def key_of(cluster: Cluster) -> str:
        """`<profile>:<cluster id>`; the folder's name where there is no profile."""
        folder = Path(cluster.profile_dir).name.removeprefix("profile_")
        return f"{cluster.profile or folder}:{cluster.cluster_id}"


def _is_new(cluster: Cluster) -> bool:
    return cluster.controller.state == "before"
