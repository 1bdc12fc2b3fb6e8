"""Static ranges on a real cluster: what every mode is built on, and that the lab itself works."""

from lab.cluster import Cluster, inside


def test_pods_live_on_static_ranges(cluster: Cluster):
    cidrs = {name: cluster.pod_cidrs(name)[0] for name in cluster.workers}
    for name, worker in cluster.workers.items():
        worker.use_network({"ranges": [[{"subnet": cidrs[name]}]]})
    pods = cluster.deploy("web", 4)
    assert {pod.node for pod in pods} == set(cluster.workers)
    for pod in pods:
        assert len(pod.addresses) == 1 and inside(pod.addresses[0], [cidrs[pod.node]]), pod
    cluster.demand_leases(pods)
    cluster.demand_reach(pods)
    assert cluster.scale("web", 0) == []
    cluster.demand_leases([])
