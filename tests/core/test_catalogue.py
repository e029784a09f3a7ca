"""A user's TOML adds to the catalogue; every mistake names file, line and key."""

import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.catalogue import Catalogue
from benchmark.core.errors import InputError
from benchmark.core.toml_file import TomlFile

quick = settings(max_examples=150, derandomize=True, deadline=None, database=None)
TASK = """[task.mine]
dataset = "me/mine"
text = ["text"]
label = "label"
classes = ["no", "yes"]
"""
ALL = f"""# my own
{TASK}carve = {{ dev = 0.1, test = 0.2 }}
rows = {{ train = 100 }}
where = {{ lang = "en" }}

[model.tiny]
hub = "me/tiny"

[encoder.tiny]
model = "tiny"
pooling = "cls"

[learner.tiny]
kind = "transformer"
model = "tiny"
steps = 3

[protocol.short]
sets = 2
seeds = 1
dpc = [1, 2]

[suite.mine]
tasks = ["mine", "sst2"]
encoder = "tiny"
protocol = "short"
[[suite.mine.cells]]
methods = ["random"]
learners = ["tiny"]
dpc = [1]
sets = 2
seeds = 1
[[suite.mine.cells]]
methods = ["herding"]
learners = ["tiny"]
dpc = [2]
sets = 2
seeds = 2
"""


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "tasks.toml"
        path.write_text(text)
        return Catalogue.load([path])

    return load


def test_a_file_adds_every_kind(load):
    catalogue = load(ALL)
    task = catalogue.task("mine")
    assert (task.text, task.classes, task.carve.dev) == (("text",), ("no", "yes"), 0.1)
    assert (task.rows, task.where) == ({"train": 100}, {"lang": "en"})
    assert catalogue.model("tiny").hub == "me/tiny"
    assert catalogue.encoder("tiny").pooling == "cls"
    assert catalogue.learners["tiny"].parameters == {"model": "tiny", "steps": 3}
    assert catalogue.protocol("short").dpc == (1, 2)
    suite = catalogue.suite("mine")
    assert suite.tasks == ("mine", "sst2")
    assert [(block.methods, block.seeds) for block in suite.cells] == [
        (("random",), 1),
        (("herding",), 2),
    ]
    assert catalogue.suite("glue").protocol == "standard"


def edited(old, new):
    assert ALL.count(old) >= 1
    return ALL.replace(old, new, 1)


def last(old, new):
    head, _, tail = ALL.rpartition(old)
    return head + new + tail


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        (edited("dataset =", "datset ="), "datset", "unknown key 'datset'. Did you mean 'dataset'"),
        (edited('dataset = "me/mine"\n', ""), "[task.mine]", "the key 'dataset' is missing"),
        (edited('"me/mine"', "3"), "dataset =", "dataset: 3 is no text"),
        (edited('["text"]', '"text"'), "text =", "text: 'text' is no list"),
        (edited('["text"]', '["a", "b", "c"]'), "text =", "text names 1 or 2 columns"),
        (edited('["text"]', '["label"]'), "text =", "may not be called 'label'"),
        (edited('["no", "yes"]', '["no", "no"]'), "classes =", "2 or more different names"),
        (edited("carve", 'metric = "acuracy"\ncarve'), "metric", "Did you mean 'accuracy'"),
        (edited("carve", 'name = "other"\ncarve'), "name =", "unknown key 'name'"),
        (edited("dev = 0.1", "dev = 0.9"), "carve =", "must sum to less than 1"),
        (edited("{ dev = 0.1, test = 0.2 }", "0.1"), "carve =", "carve must be a table"),
        (edited("dev = 0.1", 'dev = "x"'), "[task.mine]", "dev: 'x' is no number"),
        (edited("train = 100", 'train = "all"'), "rows =", "rows.train: 'all' is no whole number"),
        (edited('lang = "en"', 'lang = ["en"]'), "where =", "single values"),
        (edited("[task.mine]", "[task.MINE]"), "[task.MINE]", "a name is made of a-z"),
        (edited("[task.mine]", "[task.sst2]"), "[task.sst2]", "task 'sst2' is defined already"),
        (edited("[model.tiny]", "[modle.tiny]"), "[modle.tiny]", "Did you mean 'model'"),
        (edited("# my own", "# my own\nfoo = 3"), "foo = 3", "unknown table [foo"),
        (f"{TASK}\n[[model]]\nhub = 'x'", "[[model]]", "must be written as [model.NAME]"),
        (edited('"cls"', '"max"'), "pooling", "pooling: 'max' is none of mean, cls"),
        (edited("pooling =", "max_length = 0\npooling ="), "max_length", "less than 1"),
        (edited('model = "tiny"\np', 'model = "tny"\np'), 'model = "tny"', "Did you mean 'tiny'"),
        (edited('kind = "transformer"\n', ""), "[learner.tiny]", "the key 'kind' is missing"),
        (edited("sets = 2", "sets = 0"), "sets = 0", "sets: 0 is less than 1"),
        (edited("[1, 2]", "[0]"), "dpc = [0]", "numbers of 1 or more"),
        (edited("dpc =", "resample = 1.5\ndpc ="), "resample", "at most 1"),
        (edited('"sst2"', '"imbd"'), "tasks =", "unknown task 'imbd'. Did you mean 'imdb'"),
        (edited('encoder = "tiny"', 'encoder = "tny"'), 'encoder = "tny"', "unknown encoder"),
        (edited('"short"', '"shrt"'), 'protocol = "shrt"', "Did you mean 'short'"),
        (last("dpc = [2]", "dpc = 2"), "dpc = 2", "dpc: 2 is no list"),
        (last("seeds = 2", "seeds = 0"), "seeds = 0", "less than 1"),
        (last("sets = 2\n", ""), "[[suite.mine.cells]]", "the key 'sets' is missing"),
    ],
)
def test_a_mistake_names_file_line_and_key(load, text, where, message):
    with pytest.raises(InputError) as caught:
        load(text)
    said = str(caught.value)
    numbers = [i for i, line in enumerate(text.splitlines(), 1) if line.startswith(where)]
    assert f"tasks.toml, line {numbers[-1]}: " in said
    assert message in said


def test_a_name_is_new_within_its_kind_only(load, tmp_path):
    load(TASK.replace("task.mine", "task.glue"))
    path = tmp_path / "again.toml"
    path.write_text(TASK)
    with pytest.raises(InputError, match=r"again.toml, line 1: .*task 'mine' is defined already"):
        Catalogue.load([path, path])


def test_a_file_that_is_no_toml(load, tmp_path):
    with pytest.raises(InputError, match=r"tasks.toml: not valid TOML: .*line 2"):
        load("[task.x]\ndataset = \n")
    with pytest.raises(InputError, match="not valid TOML"):
        load("[task.x]\na = " + "9" * 5000)
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    for name in ("bytes.toml", "absent.toml", "."):
        with pytest.raises(InputError, match="cannot be read"):
            Catalogue.load([tmp_path / name])


@pytest.mark.parametrize("kind", ["task", "suite", "protocol", "model", "encoder"])
def test_an_unknown_name_is_refused(kind):
    with pytest.raises(InputError, match=f"unknown {kind} 'nonesuch'. Known: "):
        getattr(Catalogue.load(), kind)("nonesuch")


BUILT_IN = Catalogue.load()
words = st.sampled_from(
    [
        *("[task.x]", "[[suite.s.cells]]", "[suite.s]", "[encoder.e]", "[protocol.p]", "[model.m]"),
        *("[learner.l]", "dataset", "text", "label", "classes", "carve", "rows", "where", "sets"),
        *("tasks", "dpc", "model", "hub", "kind", "=", "=", "=", "\n", "\n", "\n", ".", ",", "{"),
        *("}", "[", "]", '"a"', '["a"]', '["a", "b"]', "1", "-0.5", "inf", "nan", "true"),
        *("1979-05-27", "[[task]]", "[task]", "''", '"""', "#"),
    ]
)
values = st.recursive(
    st.one_of(st.booleans(), st.integers(-5, 5), st.floats(), st.sampled_from(["a", "x", ""])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=3,
)
keys = "dataset text label classes carve rows where threshold tasks cells dpc sets seeds model hub"
tables = st.dictionaries(
    st.sampled_from(["task", "suite", "protocol", "model", "encoder", "learner", "other"]),
    st.one_of(
        values,
        st.dictionaries(
            st.sampled_from(["x", "y", "Bad Name", ""]),
            st.one_of(values, st.dictionaries(st.sampled_from(keys.split()), values, max_size=5)),
            max_size=2,
        ),
    ),
    max_size=3,
)


def add(text, content=None):
    """What `Catalogue.load` does with a user's file, upon a copy of the built-in catalogue."""
    catalogue = Catalogue(**{name: dict(table) for name, table in vars(BUILT_IN).items()})
    file = TomlFile("any.toml", text)
    if content is not None:
        file.__dict__["content"] = content
    try:
        catalogue._add(file)
    except InputError as error:
        said = str(error)
    else:
        return
    assert said.startswith("any.toml")


@quick
@given(st.one_of(st.text(st.characters(codec="utf-8")), st.lists(words).map(" ".join)))
def test_any_text_is_read_or_refused(text):
    add(text)


@quick
@given(tables)
def test_any_content_is_read_or_refused(content):
    add("", content)


@quick
@given(st.data())
def test_any_edit_of_a_good_file_is_read_or_refused(data):
    at = data.draw(st.integers(0, len(ALL)))
    cut = data.draw(st.integers(0, 6))
    new = data.draw(st.sampled_from(["", "3", '"', "=", "[", "]", "\n", "x", "[]", "{}", "."]))
    add(ALL[:at] + new + ALL[at + cut :])


def test_the_example_is_toml():
    assert set(tomllib.loads(ALL)) == {"task", "model", "encoder", "learner", "protocol", "suite"}


def install(folder: Path, text: str) -> None:
    """Make a package with one entry point for tasks importable from `folder`."""
    facts = folder / "toy_tasks-1.0.dist-info"
    facts.mkdir(parents=True)
    (folder / "toy_tasks.py").write_text(
        "from pathlib import Path\nTASKS = Path(__file__).with_name('toy_tasks.toml')\n"
    )
    (folder / "toy_tasks.toml").write_text(text)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-tasks\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[text_distillation.tasks]\ntoy = toy_tasks:TASKS\n")


@pytest.fixture
def fresh_import(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "toy_tasks", raising=False)
    yield
    sys.modules.pop("toy_tasks", None)


def test_an_installed_package_adds_tasks(tmp_path, monkeypatch, fresh_import) -> None:
    text = (
        '[task.toy-installed]\ndataset = "toy"\ntext = ["text"]\nlabel = "label"\n'
        'classes = ["a", "b"]\n[suite.toy-installed]\ntasks = ["toy-installed"]\n'
    )
    install(tmp_path, text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert Catalogue.load().suite("toy-installed").tasks == ("toy-installed",)


def test_a_broken_package_is_left_out_whole_with_a_warning(
    tmp_path, monkeypatch, fresh_import
) -> None:
    good = (
        '[task.toy-good]\ndataset = "toy"\ntext = ["text"]\nlabel = "label"\nclasses = ["a", "b"]\n'
    )
    install(tmp_path, good + "[task.toy-bad]\ndatset = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.warns(UserWarning, match=r"toy_tasks.*line \d+.*datset"):
        catalogue = Catalogue.load()
    assert not {"toy-good", "toy-bad"} & set(catalogue.tasks)
    assert "sst2" in catalogue.tasks
