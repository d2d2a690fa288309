"""To whoever uses them records are dataclasses; the standard library's own stands beside ours as oracle."""

import copy
import dataclasses
import pickle
from collections.abc import Mapping

import pytest

from selfhost import records
from selfhost.models.kimi_linear import GatedLatentAttention
from selfhost.models.latent import LatentAttention


def pair(**flags):
    """The same class made here and by the standard library."""

    def made(decorator):
        @decorator(frozen=True, slots=True, **flags)
        class Card:
            """A card."""

            name: str
            """As printed."""
            count: int = 1
            notes: tuple[str, ...] = dataclasses.field(default=())
            extra: Mapping[str, int] = dataclasses.field(default_factory=dict)

            @property
            def twice(self):
                return self.count * 2

        return Card

    return made(records.dataclass), made(dataclasses.dataclass)


@records.dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """At module level, where pickle finds it."""

    name: str
    sizes: tuple[int, ...] = ()


@records.dataclass(frozen=True, kw_only=True, slots=True)
class Single:
    value: int


@records.dataclass(frozen=True, kw_only=True, slots=True)
class Other:
    value: int


@records.dataclass(frozen=True, slots=True)
class Nothing:
    """Without a field."""


@pytest.mark.parametrize("flags", [{}, {"kw_only": True}], ids=["positional", "by name"])
def test_it_shows_and_lists_what_the_standard_one_does(flags):
    ours, standard = (made(name="a", count=3) for made in pair(**flags))
    assert repr(ours) == repr(standard)
    assert dataclasses.asdict(ours) == dataclasses.asdict(standard)
    assert repr(dataclasses.replace(ours, count=4)) == repr(dataclasses.replace(standard, count=4))
    assert [(f.name, f.type, f.kw_only) for f in dataclasses.fields(ours)] == [
        (f.name, f.type, f.kw_only) for f in dataclasses.fields(standard)
    ]
    assert (dataclasses.is_dataclass(ours), ours.twice, ours.notes, ours.extra) == (True, 6, (), {})


@pytest.mark.parametrize("flags", [{}, {"kw_only": True}], ids=["positional", "by name"])
@pytest.mark.parametrize(
    ("args", "given"),
    [((), {}), (("a",), {}), (("a", 2, ("n",)), {}), (("a",), {"name": "b"}), ((), {"name": "a", "colour": "red"})],
    ids=["nothing", "one", "three", "twice", "unknown"],
)
def test_it_takes_and_refuses_the_same_arguments(flags, args, given):
    found = []
    for made in pair(**flags):
        for _ in range(2):  # the first call compiles what the second uses
            try:
                found.append(repr(made(*args, **given)))
            except TypeError as error:
                found.append(str(error))
    assert len(set(found)) == 1


def test_a_default_that_is_made_is_made_each_time():
    made, _ = pair()
    assert made("a").extra is not made("a").extra


def test_equal_values_are_equal_and_hash_alike_within_one_class():
    assert Kept(name="a", sizes=(1,)) == Kept(name="a", sizes=(1,)) != Kept(name="a")
    assert len({Kept(name="a"), Kept(name="a"), Kept(name="b")}) == 2
    assert Single(value=1) == Single(value=1) != Other(value=1)
    assert Single(value=1) != 1
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())


def test_a_value_that_cannot_be_hashed_is_said():
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        hash(Single(value=[]))


def test_fields_do_not_change_and_no_attribute_is_added():
    card = Kept(name="a")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot change field 'name' of Kept"):
        card.name = "b"
    with pytest.raises(dataclasses.FrozenInstanceError):
        del card.name
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.colour = "red"
    assert not hasattr(card, "__dict__")
    assert card.name == "a"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_it_is_copied(copied):
    card = Kept(name="a", sizes=(1, 2))
    assert copied(card) == card


def test_a_method_of_the_class_stands():
    @records.dataclass(frozen=True, slots=True)
    class Named:
        name: str

        def __repr__(self):
            return f"<{self.name}>"

    assert repr(Named("a")) == "<a>"


def test_a_record_is_extended_by_a_record():
    extended = {field.name for field in dataclasses.fields(GatedLatentAttention)}
    assert extended >= {field.name for field in dataclasses.fields(LatentAttention)}


@pytest.mark.parametrize("order", [0, 1], ids=["base first", "extension first"])
def test_base_and_extension_are_each_made_with_their_own_fields(order):
    @records.dataclass(frozen=True, kw_only=True, slots=True)
    class Base:
        a: int

    @records.dataclass(frozen=True, kw_only=True, slots=True)
    class Extension(Base):
        b: int = 2

    makers = [lambda: Base(a=1), lambda: Extension(a=1)]
    found = {type(made).__name__: repr(made) for made in (makers[order](), makers[1 - order]())}
    name = test_base_and_extension_are_each_made_with_their_own_fields.__name__
    assert found["Base"] == f"{name}.<locals>.Base(a=1)"
    assert found["Extension"] == f"{name}.<locals>.Extension(a=1, b=2)"
    assert Base(a=1) != Extension(a=1)


def test_what_it_cannot_do_is_refused():
    with pytest.raises(TypeError, match="frozen and has slots"):
        records.dataclass(frozen=True, slots=False)
    with pytest.raises(TypeError, match="every field of a record is a parameter"):

        @records.dataclass(frozen=True, slots=True)
        class Silent:
            name: str = dataclasses.field(default="", compare=False)

    with pytest.raises(TypeError, match="every field of a record is a parameter"):

        @records.dataclass(frozen=True, slots=True)
        class Checked:
            name: str

            def __post_init__(self):
                """Not called."""


def test_two_threads_may_make_the_first_instance_at_once():
    """The second one has looked `__init__` up before the first one replaced it."""

    @records.dataclass(frozen=True, kw_only=True, slots=True)
    class Record:
        value: int

    looked_up = Record.__init__
    assert Record(value=1).value == 1
    late = object.__new__(Record)
    looked_up(late, value=2)
    assert late.value == 2
