"""sqlite3 makes tables and indices in memory, fills, joins, changes and deletes."""

import random
import sqlite3


def main() -> None:
    """Orders of customers, and reports on them, as they come in."""
    source = random.Random(0)
    base = sqlite3.connect(":memory:")
    base.execute("create table customer (id integer primary key, name text, town text)")
    base.execute("create table purchase (customer integer, amount real, note text)")
    base.execute("create index by_customer on purchase (customer, amount)")
    towns = ("Ulm", "Jena", "Lund", "Gent")
    names = ((f"name {n}" * source.randint(1, 4), source.choice(towns)) for n in range(120))
    base.executemany("insert into customer (name, town) values (?, ?)", names)
    for day in range(12):
        rows = [
            (source.randint(1, 120), source.random() * 100, "n" * source.randint(0, 300))
            for _ in range(80)
        ]
        base.executemany("insert into purchase values (?, ?, ?)", rows)
        base.execute("delete from purchase where amount < ?", (day,))
        report = (
            "select town, count(*), sum(amount), group_concat(substr(note, 1, 3)) from customer "
            "join purchase on customer.id = purchase.customer group by town order by 3 desc"
        )
        base.execute(report).fetchall()
        base.execute("update customer set name = name || ? where id % 7 = ?", ("x" * day, day % 7))
        base.commit()
    base.close()


if __name__ == "__main__":
    main()
