"""Makers of hostile files, a module for each kind; see `benchmarks.fuzz`.

Each has `COUNT`, the number of inputs by default; `PATIENCE`, a factor on the time limit; `prepare(folder)`,
called once in each process; and `attempt(number, seed, folder)`, which makes input `number` and gives the
function that uses it; that raises `Refused` for what the user would see as an error.
"""
