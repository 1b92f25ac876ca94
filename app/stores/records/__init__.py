"""The record of turns: one row for each in SQL, written behind the callers' backs, kept for a while, and read again.

    writer.py      a queue with a bound, and the greenlet that empties it; a database that is down delays rows, no turn
    retention.py   rows that are too old go
    query.py       what GET /v1/turns asks
    database.py    Postgres or a SQLite file, neither of which may hold up the worker
    rows.py        a TurnRecord as a row and a row as JSON
    table.py       the table, which app/stores/migrations makes
    schema.py      whether it is there, and as it is to be

SQLAlchemy takes 28 MB: this package is imported only where turns are recorded.
"""
