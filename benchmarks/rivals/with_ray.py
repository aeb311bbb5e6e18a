"""ray: partitions in the object store, read without a copy."""

import os
from pathlib import Path

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ["PYTHONPATH"] = str(Path(__file__).absolute().parent)

import jobs
import ray


class Ray:
    def start(self):
        ray.init(num_cpus=jobs.WORKERS, include_dashboard=False, log_to_driver=False)

    def prepare(self, job, nodes, layer):
        tasks = jobs.tasks_of(job, nodes, layer)
        if job == "empty":
            function = ray.remote(jobs.empty)
            return lambda: ray.get([function.remote(task) for task in tasks])
        read, function = {
            "ndvi": (ray.remote(jobs.read_raster), ray.remote(jobs.ndvi_max)),
            "polygons": (ray.remote(jobs.read_polygons), ray.remote(jobs.area_and_count)),
        }[job]
        held = [read.remote(*task) for task in tasks]
        return lambda: ray.get([function.remote(part) for part in held])

    def close(self):
        ray.shutdown()


if __name__ == "__main__":
    jobs.main(Ray())
