"""concurrent.futures.ProcessPoolExecutor: each call reads its window."""

from concurrent.futures import ProcessPoolExecutor

import jobs


class Futures:
    def start(self):
        self.pool = ProcessPoolExecutor(jobs.WORKERS)

    def prepare(self, job, nodes, layer):
        function = {"empty": jobs.empty, "ndvi": jobs.read_and_ndvi, "polygons": jobs.read_and_area}[job]
        tasks = jobs.tasks_of(job, nodes, layer)
        return lambda: list(self.pool.map(function, tasks))

    def close(self):
        self.pool.shutdown()


if __name__ == "__main__":
    jobs.main(Futures())
