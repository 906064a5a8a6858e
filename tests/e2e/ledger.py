# SPDX-License-Identifier: MIT
"""What a hub has acknowledged, and whether it holds to it. Clients write down each acknowledgement when it has reached
them and each message that they have sent; `findings` is what does not go together with it later: a job lost, a job
doubled, a state that went back. Knows nothing of connections."""
import collections
import json
import os
import shutil
import sqlite3
import tempfile

ENDED = ("completed", "failed", "cancelled")


class Ledger:
    def __init__(self):
        self.round = 0
        self.accepted = {}  # job id: the name that its submitter gave it, of jobs that were acknowledged
        self.ids = {}  # name: job id, whoever said it first
        self.accepts = collections.Counter()  # job id: acknowledged acceptances
        self.ended = {}  # job id: (status, what came with it, the round)
        self.asked = collections.defaultdict(set)  # job id: the ends that somebody has asked for
        self.touched = set()  # job ids of which something was said in this round
        self.findings = []

    def find(self, text):
        self.findings.append(f"round {self.round}: {text}")

    def name(self, job_id, name):
        """Somebody was told that this job has this name."""
        self.touched.add(job_id)
        if self.ids.setdefault(name, job_id) != job_id:
            self.find(f"{name} is doubled: {self.ids[name]} and {job_id}")

    def job_accepted(self, job_id, name):
        self.name(job_id, name)
        if job_id in self.accepted:
            self.find(f"{job_id} was accepted twice: {self.accepted[job_id]} and {name}")
        self.accepted[job_id] = name

    def job_assigned(self, job_id, name):
        self.name(job_id, name)
        if job_id in self.ended and self.ended[job_id][2] < self.round:
            self.find(f"{job_id} is given out again, and was {self.ended[job_id][0]} in round {self.ended[job_id][2]}")

    def job_taken(self, job_id):
        self.touched.add(job_id)
        self.accepts[job_id] += 1

    def job_ended(self, job_id, status, detail):
        self.touched.add(job_id)
        before = self.ended.setdefault(job_id, (status, detail, self.round))
        if before[:2] != (status, detail):
            self.find(f"{job_id} is {status} {detail}, and was {before[0]} {before[1]} in round {before[2]}")

    def unfinished(self):
        return [job_id for job_id in self.accepted if job_id not in self.ended]

    def answered(self, job_id, answer):
        """The hub's answer to a request for the status of a job that was acknowledged."""
        if answer["type"] != "response_job_status":
            self.find(f"{job_id} is lost: {answer}")
            return
        status = answer["status"]
        if status in ENDED:
            if job_id not in self.ended and status not in self.asked[job_id]:
                self.find(f"{job_id} is {status}, and nobody has asked for that")
            self.job_ended(job_id, status, detail_of(answer))
        elif job_id in self.ended:
            self.find(f"{job_id} went back to {status}, and was {self.ended[job_id][0]}")

    def compare_store(self, path):
        """The records of a store whose process was killed, read by SQLite itself from a copy of its files."""
        with tempfile.TemporaryDirectory(prefix="ringcast-ledger-") as folder:
            for suffix in ("", "-wal"):
                if os.path.exists(path + suffix):
                    shutil.copy(path + suffix, os.path.join(folder, "copy.db" + suffix))
            database = sqlite3.connect(os.path.join(folder, "copy.db"))
            try:
                tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                jobs, states = (self.records(database, table) if table in tables else {}
                                for table in ("emprops_jobs", "emprops_states"))
            finally:
                database.close()
        for job_id in self.accepted.keys() - jobs.keys():
            self.find(f"{job_id} is not in the store")
        for job_id, count in self.accepts.items():
            if states.get(job_id, {}).get("attempts", 0) < count:
                self.find(f"{job_id} has {states.get(job_id)} in the store, and {count} acceptances were acknowledged")
        for job_id, (status, _, number) in self.ended.items():
            if states.get(job_id, {}).get("status") != status:
                self.find(f"{job_id} has {states.get(job_id)} in the store, and was {status} in round {number}")

    @staticmethod
    def records(database, table):
        """{job id: what is kept}"""
        rows = database.execute(f"SELECT CAST(key AS TEXT), value FROM {table}")  # the tables are two constants
        return {f"job-{key.rpartition('-')[2]}": json.loads(value) for key, value in rows}


def detail_of(answer):
    """What of the end of a job has to stay as it was."""
    if answer["status"] == "completed":
        return json.dumps(answer["result"], sort_keys=True)
    return answer["error"] if answer["status"] == "failed" else answer["cancelled_at"]
