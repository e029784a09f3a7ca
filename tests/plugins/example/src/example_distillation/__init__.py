"""An example package: the method `common-words`, the learner `word-centroids`, the task `notices`.

The entry points in `pyproject.toml` are all that the benchmark knows of it. Each names a class, or
for tasks the path of a TOML file; a module is imported when its name is used first.
"""

from pathlib import Path

TASKS = Path(__file__).parent / "tasks.toml"
