"""What would lose a result or mislead a user, tried again and again: `make campaign`.

A part is a module with ``run(tries, chance, folder)``, which yields a `Finding` of each try. The
small form is a test; the whole one writes ``figures.json``, which fills the README's table.
"""
