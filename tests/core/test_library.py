"""The library encodes a pool once, and a set's rows alike whatever was encoded before."""

import numpy as np
import pytest

from benchmark.core import library as module
from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.library import Library, LibraryConfig

VOCABULARY = "a the film movie plot was is good great fine bad poor dull"
WORDS = VOCABULARY.split()
TASKS = """
[model.tiny]
hub = "tests/tiny-bert"
[model.absent]
hub = "tests/absent"
[encoder.tiny]
model = "tiny"
dtype = "float32"
max_length = 16
[encoder.tiny-cls]
model = "tiny"
pooling = "cls"
dtype = "bfloat16"
[encoder.absent]
model = "absent"
[task.toy]
dataset = "me/toy"
text = ["text"]
label = "label"
classes = ["no", "yes"]
[task.pairs]
dataset = "me/pairs"
text = ["one", "two"]
label = "label"
classes = ["no", "yes"]
[learner.my-probe]
kind = "probe"
encoder = "tiny"
"""


def sentences(n, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(2, 14))) for _ in range(n)]


@pytest.fixture
def open_library(tmp_path, write_assets, tiny_bert, monkeypatch):
    """Return (function that opens a library, list of the encodings that were done)."""
    labels = [0, 1] * 15
    single = {"text": sentences(30, 0), "label": labels}
    pairs = {"one": sentences(30, 1), "two": sentences(30, 2), "label": labels}
    tables = {
        "me/toy/default/train": single,
        "me/toy/default/test": {"text": sentences(30, 3), "label": labels},
        "me/pairs/default/train": pairs,
        "me/pairs/default/test": pairs,
    }
    root = write_assets(tables, tiny_bert)
    (tmp_path / "tasks.toml").write_text(TASKS)
    config = LibraryConfig(tmp_path / "store", root, False, (tmp_path / "tasks.toml",))
    encoded = []
    encode = module.Encoder.encode

    def counting(self, columns, progress=None):
        encoded.append((self.spec.name, len(next(iter(columns.values())))))
        return encode(self, columns, progress)

    monkeypatch.setattr(module.Encoder, "encode", counting)
    return (lambda **options: Library(config, **options)), encoded


def test_a_pool_is_encoded_once_by_any_library(open_library):
    open_, encoded = open_library
    library = open_()
    pool = library.task("toy").pool
    features = pool.embed("tiny")
    for part in (pool, pool.of_class(0), pool.subset([3, 1, 1])):
        assert np.array_equal(part.embed("tiny"), features[part.indices])
    library.task("pairs")
    assert np.array_equal(library.task("toy").pool.embed("tiny"), features)
    assert np.array_equal(open_().task("toy").pool.embed("tiny"), features)
    assert encoded == [("tiny", 30)]
    pool.embed("tiny-cls")
    library.test_texts("toy").features("tiny")
    assert encoded == [("tiny", 30), ("tiny-cls", 30), ("tiny", 30)]


def test_a_damaged_matrix_is_made_again(open_library, tmp_path):
    open_, encoded = open_library
    features = np.array(open_().task("toy").pool.embed("tiny"))
    (path,) = (tmp_path / "store" / "features").glob("*.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(bytes(content))
    assert np.array_equal(open_().task("toy").pool.embed("tiny"), features)
    assert encoded == [("tiny", 30)] * 2


def test_progress_is_told_in_words(open_library):
    told = []
    library = open_library[0](report=lambda *said: told.append(said))
    library.task("toy").pool.embed("tiny")
    assert told[-1] == ("encoding toy pool with tiny", 30, 30)


def test_rows_of_the_pool_have_their_pool_features_exactly(open_library):
    open_, encoded = open_library
    for name in ("toy", "pairs"):
        library = open_()
        pool, texts = library.task(name).pool, library.test_texts(name)
        rows = [7, 2, 29, 2]
        made = DistilledSet.of_texts(pool.texts(rows), pool.labels[rows], pool.classes)
        features = texts.embed_set("tiny", made)
        assert features.tobytes() == np.asarray(pool.embed("tiny")[rows]).tobytes()
        turned = dict(reversed(list(pool.texts(rows).items())))  # the order of columns is no order
        made = DistilledSet.of_texts(turned, pool.labels[rows], pool.classes)
        assert np.array_equal(texts.embed_set("tiny", made), features)
    assert encoded == [("tiny", 30)] * 2


def test_other_rows_do_not_depend_on_what_was_encoded_before(open_library):
    open_, _ = open_library
    new = sentences(5, 9)
    made = DistilledSet.of_texts({"text": new}, [0, 1, 0, 1, 0], ("no", "yes"))
    first = open_().test_texts("toy").embed_set("tiny", made)
    busy = open_()
    texts = busy.test_texts("toy")
    pool = busy.task("toy").pool
    other = DistilledSet.of_texts({"text": sentences(9, 10)}, [0] * 9, ("no", "yes"))
    for encoder in ("tiny", "tiny-cls"):
        texts.features(encoder), texts.embed_set(encoder, other)
    assert texts.embed_set("tiny", made).tobytes() == first.tobytes()
    mixed = {"text": [new[0], pool.texts([4])["text"][0], *new[1:]]}
    made = DistilledSet.of_texts(mixed, [0] * 6, ("no", "yes"))
    features = texts.embed_set("tiny", made)
    assert np.array_equal(features[[0, 2, 3, 4, 5]], first)
    assert np.array_equal(features[1], pool.embed("tiny")[4])


def test_what_a_learner_sees_of_the_test_split(open_library):
    library = open_library[0]()
    texts = library.test_texts("toy")
    assert len(texts) == 30
    assert not hasattr(texts, "labels")
    assert texts.scratch is library.test_texts("toy").scratch
    texts.scratch["counted"] = 1
    assert library.test_texts("pairs").scratch == {}


def test_fingerprints_follow_the_settings(open_library):
    library = open_library[0]()
    assert library.encoder_fingerprint("tiny") != library.encoder_fingerprint("tiny-cls")
    assert library.model_folder("tiny") is library.model_folder("tiny")
    assert len(library.model_fingerprint("tiny")) == 40


def test_the_catalogues_learners_are_known_by_name(open_library):
    from benchmark.core.learner import LEARNERS

    open_library[0]()
    assert LEARNERS.build("my-probe").encoder == "tiny"
    assert LEARNERS.build("bert-base").models == ("bert-base",)


def test_what_cannot_be_had_is_said(open_library, monkeypatch):
    monkeypatch.setattr(module.Assets, "_hub_reason", lambda self, error: "no hub in a test")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: 1 / 0)
    library = open_library[0]()
    with pytest.raises(UnavailableError, match="model tests/absent: no models/tests/absent in"):
        library.task("toy").pool.embed("absent")
    with pytest.raises(InputError, match=r"unknown encoder 'tinny'. Did you mean 'tiny'"):
        library.task("toy").pool.embed("tinny")
    with pytest.raises(InputError, match="unknown task"):
        library.task("toyy")
