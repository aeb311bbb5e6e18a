"""dask.distributed: partitions persisted in the workers."""

import jobs
from dask.distributed import Client, LocalCluster, wait


class Dask:
    def start(self):
        self.cluster = LocalCluster(n_workers=jobs.WORKERS, threads_per_worker=1, dashboard_address=None)
        self.client = Client(self.cluster)

    def prepare(self, job, nodes, layer):
        tasks = jobs.tasks_of(job, nodes, layer)
        if job == "empty":
            return lambda: self.client.gather(self.client.map(jobs.empty, tasks, pure=False))
        read, function = {
            "ndvi": (jobs.read_raster, jobs.ndvi_max),
            "polygons": (jobs.read_polygons, jobs.area_and_count),
        }[job]
        held = [self.client.submit(read, *task) for task in tasks]
        wait(held)
        return lambda: self.client.gather(self.client.map(function, held, pure=False))

    def close(self):
        self.client.close()
        self.cluster.close()


if __name__ == "__main__":
    jobs.main(Dask())
