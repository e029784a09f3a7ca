"""Names meet one class each; plug-ins are lazy, and a broken one is a warning."""

import importlib.metadata
import sys

import pytest

from benchmark.core.errors import InputError
from benchmark.core.learner import LEARNERS
from benchmark.core.method import METHODS
from benchmark.core.registry import Entry, Registry, registering


class Base:
    name = ""


def fresh(package=None, group=None):
    return Registry("method", Base, package, group)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write an importable module; returns a function (name, source)."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def write(name, source):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        made.append(name)

    yield write
    for name in [*made, "shelf"]:
        for loaded in [key for key in sys.modules if key.split(".")[0] == name.split("/")[0]]:
            del sys.modules[loaded]


@pytest.fixture
def entry_points(monkeypatch):
    def install(**targets):
        points = [
            importlib.metadata.EntryPoint(name.replace("_", "-"), value, "some.group")
            for name, value in targets.items()
        ]
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)

    return install


def test_registered_built_and_listed():
    registry = fresh()

    @registering(registry, "plain", paper="someone2020")
    class Plain(Base):
        steps: int = 1

    registering(registry, "long", steps=100)(Plain)
    assert registry.names() == ["long", "plain"]
    assert registry.cls("plain") is Plain
    assert registry.entry("plain").paper == "someone2020"
    assert registry.build("plain").steps == 1
    assert (registry.build("long").steps, registry.build("long").name) == (100, "long")
    assert registry.build("long", {"steps": "3"}).steps == 3
    assert registry.build("plain").name == "plain"
    assert "test_registry, line" in registry.origin("plain")


def test_two_targets_under_one_name_are_an_error():
    registry = fresh()

    class One(Base):
        pass

    class Two(Base):
        pass

    registry.add(Entry("x", One))
    registry.add(Entry("x", One))
    with pytest.raises(InputError, match=r"'x' is registered twice: .*One and .*Two"):
        registry.add(Entry("x", Two))
    assert registry.cls("x") is One


@pytest.mark.parametrize("target", [object, len, 5, None])
def test_only_subclasses_of_the_base_are_taken(target):
    registry = fresh()
    with pytest.raises(InputError, match=r"method 'x': .* is no Base"):
        registry.add(Entry("x", target))
    assert registry.names() == []


def test_an_unknown_name_gets_a_suggestion():
    registry = fresh()
    registry.add(Entry("herding", Base))
    registry.add(Entry("random", Base))
    with pytest.raises(InputError, match=r"unknown method 'hreding'. Did you mean 'herding'?"):
        registry.build("hreding")
    with pytest.raises(InputError, match="Known: herding, random"):
        registry.entry("zzz")


def test_each_module_of_the_package_registers_itself(module):
    module("shelf/__init__", "found = []")
    module("shelf/one", "from shelf import found; found.append('one')")
    module("shelf/two", "from shelf import found; found.append('two')")
    registry = fresh("shelf")
    assert "shelf" not in sys.modules
    registry.names(), registry.names()
    assert sys.modules["shelf"].found == ["one", "two"]


@pytest.fixture
def shelf(module):
    """The registry of a package `shelf`, whose modules find it and its base in `__main__`."""
    main = sys.modules["__main__"]
    main.shelf_base, main.shelf_registry = Base, fresh("shelf")
    module("shelf/__init__", "")
    yield main.shelf_registry
    del main.shelf_base, main.shelf_registry


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\ndef f(:\n", r"shelf/bad.py, line 2: SyntaxError: invalid syntax"),
        ("\n\nimport no_such_module", r"shelf/bad.py, line 3: ModuleNotFoundError: .*no_such_mod"),
        ("import shelf.worse", r"shelf/worse.py, line 2: ZeroDivisionError: division by zero"),
        ("raise SystemExit", r"shelf/bad.py, line 1: SystemExit"),
        ("raise ValueError('one\\ntwo')", r"shelf/bad.py, line 1: ValueError: one two"),
        ("x = '\0'", r"shelf/bad.py: SyntaxError: source code .*null bytes"),
    ],
)
def test_a_broken_module_of_the_package_harms_no_other(shelf, module, source, said):
    good = (
        "import __main__\nfrom benchmark.core.registry import registering\n"
        "@registering(__main__.shelf_registry, '{}')\n"
        "class Thing(__main__.shelf_base): pass\n"
    )
    module("shelf/alpha", good.format("alpha"))
    module("shelf/bad", f"{source}\n# @register('my-bad')")
    module("shelf/zeta", good.format("zeta"))
    if "worse" in source:
        module("shelf/worse", "\n1 / 0")
    with pytest.warns(UserWarning, match=f"shelf.bad was left out: {said}"):
        assert shelf.names() == ["alpha", "zeta"]
    assert "shelf.bad" in shelf.broken
    assert shelf.build("zeta").name == "zeta"
    for name in ("bad", "my-bad"):
        with pytest.raises(InputError, match=f"method '{name}' is not there: .*{said}"):
            shelf.build(name)
    with pytest.raises(InputError, match=r"unknown method 'zetta'\. Did you mean 'zeta'"):
        shelf.build("zetta")


def test_a_module_that_breaks_half_way_registers_nothing(shelf, module):
    module(
        "shelf/half",
        "import __main__\nfrom benchmark.core.registry import registering\n"
        "@registering(__main__.shelf_registry, 'first')\n"
        "class Thing(__main__.shelf_base): pass\n"
        "1 / 0\n",
    )
    # It is tried again by whoever imports it.
    module("shelf/other", "import shelf.half")
    with pytest.warns(UserWarning, match=r"shelf\.half was left out"):
        assert shelf.names() == []
    with pytest.raises(InputError, match=r"method 'first' is not there: .*line 5"):
        shelf.cls("first")


def test_two_modules_with_one_name_are_an_error_still(shelf, module):
    for name in ("one", "two"):
        module(
            f"shelf/{name}",
            "import __main__\nfrom benchmark.core.registry import registering\n"
            "@registering(__main__.shelf_registry, 'same')\n"
            "class Thing(__main__.shelf_base): pass\n",
        )
    with pytest.raises(InputError, match=r"'same' is registered twice: shelf\.one"):
        shelf.names()


@pytest.mark.parametrize("registry", [METHODS, LEARNERS], ids=lambda registry: registry.kind)
def test_no_module_of_the_project_is_broken(registry):
    registry.names()
    assert registry.broken == {}


def test_a_plug_in_is_loaded_when_it_is_asked_for(module, entry_points):
    module("lazy_plug", "from dataclasses import dataclass\nclass P: pass\n")
    module(
        "good_plug",
        "import __main__\nfrom benchmark.core.registry import *\n"
        "class Thing(__main__.plug_base):\n    steps: int = 4\n",
    )
    main = sys.modules["__main__"]
    main.plug_base = Base
    try:
        entry_points(thing="good_plug:Thing", alien="lazy_plug:P")
        registry = fresh(group="some.group")
        assert registry.names() == ["alien", "thing"]
        assert "good_plug" not in sys.modules
        assert registry.cls("thing").__name__ == "Thing"
        assert registry.entry("thing").plugin
        with pytest.raises(InputError, match="method 'alien': lazy_plug:P is no Base"):
            registry.cls("alien")
    finally:
        del main.plug_base


def test_a_plug_in_that_decorates_itself_keeps_its_preset(module, entry_points):
    main = sys.modules["__main__"]
    entry_points(thing="deco_plug:Thing")
    main.plug_base, main.plug_registry = Base, fresh(group="some.group")
    module(
        "deco_plug",
        "import __main__\nfrom benchmark.core.registry import registering\n"
        "@registering(__main__.plug_registry, 'thing', paper='p2020', steps=9)\n"
        "class Thing(__main__.plug_base):\n    steps: int = 4\n",
    )
    try:
        registry = main.plug_registry
        assert registry.build("thing").steps == 9
        assert registry.entry("thing").paper == "p2020"
        assert registry.entry("thing").plugin
    finally:
        del main.plug_base, main.plug_registry


def test_a_broken_plug_in_harms_no_other(module, entry_points):
    module("broken_plug", "raise RuntimeError('boom')")
    entry_points(broken="broken_plug:X", absent="no_such_module:X", fine="x:Y")
    registry = fresh(group="some.group")
    registry.add(Entry("mine", Base))
    assert registry.names() == ["absent", "broken", "fine", "mine"]
    assert registry.cls("mine") is Base
    with pytest.raises(InputError, match="plug-in 'broken_plug:X' cannot be loaded: boom"):
        registry.build("broken")
    with pytest.raises(InputError, match="no_such_module"):
        registry.build("absent")


def test_a_plug_in_cannot_take_a_name(entry_points):
    entry_points(random="thief:Random")
    registry = fresh(group="some.group")
    registry.add(Entry("random", Base))
    with pytest.warns(UserWarning, match="plug-in 'thief:Random' was left out: .* twice"):
        registry.names()
    assert registry.cls("random") is Base
