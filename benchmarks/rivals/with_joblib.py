"""joblib: Parallel, with Memory (mapped files) in front of the reading."""

import tempfile

import jobs
from joblib import Memory, Parallel, delayed
from joblib.externals.loky import get_reusable_executor


def ndvi_max(cache, task):
    return jobs.ndvi_max(Memory(cache, mmap_mode="c", verbose=0).cache(jobs.read_raster)(*task))


def area_and_count(cache, task):
    return jobs.area_and_count(Memory(cache, verbose=0).cache(jobs.read_polygons)(*task))


def empty(_, task):
    return jobs.empty(task)


class Joblib:
    def start(self):
        self.cache = tempfile.TemporaryDirectory(prefix="ellipsis-benchmark-")

    def prepare(self, job, nodes, layer):
        function = {"empty": empty, "ndvi": ndvi_max, "polygons": area_and_count}[job]
        tasks = jobs.tasks_of(job, nodes, layer)
        return lambda: Parallel(n_jobs=jobs.WORKERS)(delayed(function)(self.cache.name, task) for task in tasks)

    def close(self):
        get_reusable_executor().shutdown(wait=True)
        self.cache.cleanup()


if __name__ == "__main__":
    jobs.main(Joblib())
