"""Lines of JSON become tables in sqlite3, and reports of them CSV, which is read back."""

import csv
import io
import json
import random
import sqlite3
import sys


def lines(source: random.Random, rows: int) -> list[str]:
    """Events as a service writes them, each with other fields."""
    made = []
    for number in range(rows):
        event = {"number": number, "user": f"user {source.randint(1, 30)}", "cost": source.random()}
        event |= {f"field {n}": "x" * source.randint(0, 90) for n in range(source.randint(0, 6))}
        made.append(json.dumps(event, indent=source.choice([None, 1])))
    return made


def main(seed: int = 0, rounds: int = 4, rows: int = 60) -> None:
    """Each round brings rows; the reports of the last three rounds are kept."""
    source, kept, base = random.Random(seed), [], sqlite3.connect(":memory:")
    base.execute("create table event (user text, cost real, fields text)")
    for _ in range(rounds):
        events = [json.loads(line) for line in lines(source, rows)]
        taken = ((e["user"], e["cost"], " ".join(map(str, e.values()))) for e in events)
        base.executemany("insert into event values (?, ?, ?)", taken)
        report = "select user, count(*), sum(cost), max(fields) from event group by user order by 3"
        file = io.StringIO()
        csv.writer(file).writerows(base.execute(report))
        read = csv.DictReader(io.StringIO(file.getvalue()), ["user", "events", "cost", "longest"])
        kept = [*kept[-2:], {row["user"]: row for row in read}]
        base.execute("delete from event where length(fields) < 60")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
